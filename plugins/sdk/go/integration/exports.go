package integration

import (
	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/plugins/sdk/go/internal/wire"
)

func init() {
	wire.Export(abi.ExportHandleEvent, handleEvent)
	wire.Export(abi.ExportReceiveWebhook, receiveWebhook)
	wire.Export(abi.ExportConfigForm, askConfig)
	wire.Export(abi.ExportRefreshConfigForm, askConfig)
	wire.Export(abi.ExportValidateConfig, judgeConfig)
	wire.Export(abi.ExportListActions, listActions)
	wire.Export(abi.ExportActionForm, askAction)
	wire.Export(abi.ExportRefreshActionForm, askAction)
	wire.Export(abi.ExportRunAction, runAction)
	wire.Export(abi.ExportHandleRoute, handleRoute)
	wire.Export(abi.ExportFetchPage, fetchPage)
	wire.Export(abi.ExportWriteBatch, writeBatch)
}
