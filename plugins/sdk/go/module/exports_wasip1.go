package module

import (
	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/internal/wire"
)

//go:wasmexport frigg_call_method
func exportCallMethod() int32 { return wire.Run(abi.ExportCallMethod) }

//go:wasmexport frigg_identify_account
func exportIdentifyAccount() int32 { return wire.Run(abi.ExportIdentifyAccount) }

//go:wasmexport frigg_test_auth
func exportTestAuth() int32 { return wire.Run(abi.ExportTestAuth) }

//go:wasmexport frigg_reconcile_request
func exportReconcileRequest() int32 { return wire.Run(abi.ExportReconcileRequest) }

//go:wasmexport frigg_entity_form
func exportEntityForm() int32 { return wire.Run(abi.ExportEntityForm) }

//go:wasmexport frigg_refresh_entity_form
func exportRefreshEntityForm() int32 { return wire.Run(abi.ExportRefreshEntityForm) }

//go:wasmexport frigg_subscribe_webhook
func exportSubscribeWebhook() int32 { return wire.Run(abi.ExportSubscribeWebhook) }

//go:wasmexport frigg_renew_webhook
func exportRenewWebhook() int32 { return wire.Run(abi.ExportRenewWebhook) }

//go:wasmexport frigg_unsubscribe_webhook
func exportUnsubscribeWebhook() int32 { return wire.Run(abi.ExportUnsubscribeWebhook) }
