package guest

import (
	"errors"
	"slices"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/guest/javascript"
	"github.com/frigg-host/frigg-host/host/guest/rewrite"
)

// vetted is a module that may be handed to wazero, and what this host needs to know of it.
type vetted struct {
	*rewrite.Module
	callable []string // exports that follow the calling convention, sorted
	haskell  bool     // hs_init is exported
}

// signature has one letter per value, as in hostFunction; ? is a type that no host function has.
type signature struct{ params, results string }

// String is for error texts.
func (s signature) String() string { return "(" + s.params + ")->(" + s.results + ")" }

// vet takes a module through the load-time pass and compares its imports with what is offered.
func vet(module []byte, o rewrite.Options) (*vetted, error) {
	if len(module) > abi.LimitModuleBytes {
		return nil, unusable(ReasonModule, "it has %s, more than %s", size(uint64(len(module))), size(abi.LimitModuleBytes))
	}
	m, err := rewrite.Rewrite(module, o)
	switch {
	case errors.Is(err, rewrite.ErrImport):
		return nil, unusable(ReasonImport, "%s", clean(err.Error(), maxTextBytes))
	case err != nil:
		return nil, unusable(ReasonModule, "%s", clean(err.Error(), maxTextBytes))
	}
	v := &vetted{Module: m}
	for _, f := range m.Exports {
		if f.Params == "" && (f.Results == "" || f.Results == "i" || f.Results == "I") {
			v.callable = append(v.callable, f.Name)
		}
		v.haskell = v.haskell || f.Name == startHaskell && f.Params == "ii"
	}
	slices.Sort(v.callable)
	return v, nil
}

// Unrestorable says why instances of a module cannot be used for more than one call as far as its code tells, "" if they
// can. Nothing is run: what its start does may be another reason. Errors are those of Engine.Compile.
func Unrestorable(module []byte) (string, error) {
	if _, isScript, err := javascript.Source(module); isScript && err == nil {
		return "", nil
	}
	v, err := vet(module, rewrite.Options{Fuel: quantum, Restore: true})
	if err != nil {
		return "", err
	}
	return v.Module.Unrestorable, nil
}

// check compares the imports with what is offered.
func (v *vetted) check(offered map[Import]signature) error {
	for _, f := range v.Imports {
		want, ok := offered[Import{f.Module, f.Name}]
		got := signature{f.Params, f.Results}
		switch {
		case !ok:
			return unusable(ReasonImport, "it imports %q of %q, which this host does not offer", clean(f.Name, 100), clean(f.Module, 100))
		case want != got:
			return unusable(ReasonImport, "it imports %q of %q as %v, which is %v", f.Name, f.Module, got, want)
		}
	}
	return nil
}
