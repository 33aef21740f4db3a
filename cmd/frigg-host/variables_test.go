package main

import (
	"reflect"
	"strings"
	"testing"
)

// Values of plugins come from variables that begin with FRIGG_PLUGIN_; a flag that began so could be read by a plugin.
func TestFlags_HaveNoVariableThatAPluginCouldRead(t *testing.T) {
	t.Parallel()
	seen := 0
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		if typ.Kind() != reflect.Struct {
			return
		}
		for i := range typ.NumField() {
			field := typ.Field(i)
			for name := range strings.SplitSeq(field.Tag.Get("env"), ",") {
				if name != "" {
					seen++
				}
				if strings.HasPrefix(name, "FRIGG_PLUGIN_") {
					t.Errorf("%s of %s is in the namespace of plugins", name, field.Name)
				}
			}
			walk(field.Type)
		}
	}
	walk(reflect.TypeFor[cli]())
	if seen < 10 {
		t.Errorf("only %d variables looked at", seen)
	}
}
