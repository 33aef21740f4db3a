package integration

import (
	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/internal/wire"
)

//go:wasmexport frigg_handle_event
func exportHandleEvent() int32 { return wire.Run(abi.ExportHandleEvent) }

//go:wasmexport frigg_receive_webhook
func exportReceiveWebhook() int32 { return wire.Run(abi.ExportReceiveWebhook) }

//go:wasmexport frigg_config_form
func exportConfigForm() int32 { return wire.Run(abi.ExportConfigForm) }

//go:wasmexport frigg_refresh_config_form
func exportRefreshConfigForm() int32 { return wire.Run(abi.ExportRefreshConfigForm) }

//go:wasmexport frigg_validate_config
func exportValidateConfig() int32 { return wire.Run(abi.ExportValidateConfig) }

//go:wasmexport frigg_list_actions
func exportListActions() int32 { return wire.Run(abi.ExportListActions) }

//go:wasmexport frigg_action_form
func exportActionForm() int32 { return wire.Run(abi.ExportActionForm) }

//go:wasmexport frigg_refresh_action_form
func exportRefreshActionForm() int32 { return wire.Run(abi.ExportRefreshActionForm) }

//go:wasmexport frigg_run_action
func exportRunAction() int32 { return wire.Run(abi.ExportRunAction) }

//go:wasmexport frigg_handle_route
func exportHandleRoute() int32 { return wire.Run(abi.ExportHandleRoute) }

//go:wasmexport frigg_fetch_page
func exportFetchPage() int32 { return wire.Run(abi.ExportFetchPage) }

//go:wasmexport frigg_write_batch
func exportWriteBatch() int32 { return wire.Run(abi.ExportWriteBatch) }
