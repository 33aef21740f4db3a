package plugin

import (
	"slices"
	"strings"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/plugin/wasm"
)

var (
	doorType  = wasm.FuncType{Params: []wasm.ValType{wasm.I64}, Results: []wasm.ValType{wasm.I64}}.String()
	entryType = wasm.FuncType{Results: []wasm.ValType{wasm.I32}}.String()
)

// exportPrefix starts the names that the contract owns.
const exportPrefix = "frigg_"

// audit compares what the code can do with what the manifest says.
func (in *Inspection) audit(m *wasm.Module) {
	if in.JavaScript {
		in.claimCapabilities()
	} else {
		in.auditImports(m)
		in.auditClaims()
	}
	in.auditExports()
	in.auditNeeds()
	in.auditWebhooks()
	for _, path := range abi.ReservedFields(in.Manifest) {
		in.warn(path, "is reserved for a later version; this host does not act on it")
	}
	if l := abi.ManifestDefaults(in.Manifest).Limits; in.Memory != nil && in.Memory.MinBytes > l.MemoryBytes {
		in.add("limits.memory_bytes", "the module needs %d bytes of memory from the start, and %d are allowed; ask for more in `limits`", in.Memory.MinBytes, l.MemoryBytes)
	}
}

func (in *Inspection) auditImports(m *wasm.Module) {
	for _, im := range m.Imports {
		capability, isHost := strings.CutPrefix(im.Module, abi.ModulePrefix)
		switch {
		case im.Kind != wasm.KindFunc:
			in.add("imports", "imports %s %q of %q; only functions can be imported", im.Kind, im.Name, im.Module)
		case im.Module == abi.KernelModule || im.Module == abi.BulkModule || im.Module == abi.WASIModule:
		case isHost:
			in.auditDoor(capability, im)
		default:
			in.add("imports", "imports %q of %q, which this host does not offer", im.Name, im.Module)
		}
	}
}

// auditDoor judges the import of one function of a capability.
func (in *Inspection) auditDoor(capability string, im wasm.Import) {
	i := slices.IndexFunc(abi.Functions, func(f abi.Function) bool { return f.Capability == capability && f.Name == im.Name })
	if i < 0 {
		in.add("imports", "imports %s.%s, which is not in the contract", capability, im.Name)
		return
	}
	if got := im.Type.String(); got != doorType {
		in.add("imports", "imports %s.%s as %s; the contract says %s", capability, im.Name, got, doorType)
	}
	if abi.Functions[i].Reserved {
		in.warn("imports", "%s.%s is reserved for a later version; this host answers `unsupported`", capability, im.Name)
	}
	if !slices.Contains(in.Capabilities, capability) {
		in.Capabilities = append(in.Capabilities, capability)
	}
}

// auditClaims finds what is claimed too much and too little.
func (in *Inspection) auditClaims() {
	claimed := map[string]bool{}
	for _, c := range in.Manifest.Capabilities {
		claimed[c.Name] = true
		if !slices.Contains(in.Capabilities, c.Name) {
			in.add("capabilities", "claims %s, but the code imports nothing of %s%s; remove the claim", c.Name, abi.ModulePrefix, c.Name)
		}
	}
	for _, name := range in.Capabilities {
		if !claimed[name] {
			in.add("capabilities", "does not claim %s, but the code imports %s%s; add the claim with a reason, or do not use it", name, abi.ModulePrefix, name)
		}
	}
}

func (in *Inspection) auditExports() {
	for _, ex := range in.Exports {
		if !strings.HasPrefix(ex.Name, exportPrefix) {
			continue
		}
		i := slices.IndexFunc(abi.Exports, func(e abi.Export) bool { return e.Name == ex.Name })
		switch {
		case i < 0:
			in.add("exports", "exports %s, which is not in the contract; check the spelling", ex.Name)
		case abi.Exports[i].Kind != in.Manifest.Kind:
			in.add("exports", "exports %s, which is for plugins of kind %s", ex.Name, abi.Exports[i].Kind)
		case ex.Type != entryType:
			in.add("exports", "exports %s as %s; the contract says %s", ex.Name, ex.Type, entryType)
		case abi.Exports[i].Reserved:
			in.warn("exports", "%s is reserved for a later version; this host does not call it", ex.Name)
		}
	}
}

// auditNeeds finds exports that the manifest makes necessary.
func (in *Inspection) auditNeeds() {
	needs := func(when bool, export, why string) {
		if when && !in.exports(export) {
			in.add("exports", "does not export %s, which is needed because %s", export, why)
		}
	}
	m := in.Manifest
	if a := m.Auth; a != nil {
		needs(a.Identify == nil, abi.ExportIdentifyAccount, "`auth.identify` does not say who an account is")
		needs(a.Test == nil && a.Kind != abi.AuthKindNone, abi.ExportTestAuth, "`auth.test` does not say how to test a credential")
		needs(a.ChooseEntity, abi.ExportEntityForm, "`auth.choose_entity` is set")
	}
	needs(len(m.Methods) > 0, abi.ExportCallMethod, "`methods` are declared")
	needs(m.Kind == abi.PluginKindIntegration, abi.ExportHandleEvent, "every integration gets events")
	needs(m.DynamicConfig, abi.ExportConfigForm, "`dynamic_config` is set")
	needs(len(m.Actions) > 0, abi.ExportRunAction, "`actions` are declared")
	needs(slices.ContainsFunc(m.Actions, func(a abi.Action) bool { return a.HasForm }), abi.ExportActionForm, "an action has a form")
	needs(slices.ContainsFunc(m.Webhooks, func(w abi.Webhook) bool { return w.Verify }), abi.ExportReceiveWebhook, "a webhook has `verify`")
	needs(len(m.Syncs) > 0, abi.ExportFetchPage, "`syncs` are declared")
	needs(len(m.Syncs) > 0, abi.ExportWriteBatch, "`syncs` are declared")
	needs(len(m.Routes) > 0, abi.ExportHandleRoute, "`routes` are declared")
}

func (in *Inspection) exports(name string) bool {
	return slices.ContainsFunc(in.Exports, func(f Function) bool { return f.Name == name })
}

func (in *Inspection) auditWebhooks() {
	for _, w := range in.Manifest.Webhooks {
		if w.Role == "" && !w.Verify {
			in.warn("webhooks", "%s is verified by nobody: whoever knows its URL can send events; name a `role` or set `verify`", w.Name)
		}
	}
}
