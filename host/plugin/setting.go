package plugin

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/frigg-host/frigg-host/abi"
	"github.com/frigg-host/frigg-host/host/fault"
	"github.com/frigg-host/frigg-host/host/secret"
)

// Source says where the value of a setting comes from.
type Source string

const (
	FromEnvironment Source = "environment"
	FromStore       Source = "stored"
	FromDefault     Source = "default"
	Unset           Source = "unset"
)

// SettingStatus is a setting as an operator sees it.
type SettingStatus struct {
	abi.Setting
	Source   Source
	Variable string // of the environment, which goes before what is stored; may be empty
	Value    string // empty for secrets
}

// maxSetting bounds a value in bytes.
const maxSetting = 64 << 10

// Settings returns what the operator has set for a plugin, defaults included. Of the sources of a value the first counts:
// the environment variable that Variable names, the file that this name with __FILE at its end names, the store, the
// default. What is set nowhere is not in the map.
func (s *Service) Settings(ctx context.Context, p *Plugin) (map[string]secret.Text, error) {
	stored, err := s.stored(ctx, p)
	if err != nil {
		return nil, err
	}
	values := map[string]secret.Text{}
	for _, setting := range p.Manifest.Settings {
		value, source, err := s.value(ctx, p, setting, stored)
		if err != nil {
			return nil, err
		}
		if source != Unset {
			values[setting.Name] = value
		}
	}
	return values, nil
}

// MissingSettings names the required settings that nobody has set.
func (s *Service) MissingSettings(ctx context.Context, p *Plugin) ([]string, error) {
	values, err := s.Settings(ctx, p)
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, setting := range p.Manifest.Settings {
		if setting.Required && values[setting.Name].IsZero() {
			missing = append(missing, setting.Name)
		}
	}
	return missing, nil
}

// SettingsOf lists the settings of the plugin with this name, in the order of its manifest.
func (s *Service) SettingsOf(ctx context.Context, name string) ([]SettingStatus, error) {
	p, err := s.installed(name)
	if err != nil {
		return nil, err
	}
	stored, err := s.stored(ctx, p)
	if err != nil {
		return nil, err
	}
	var list []SettingStatus
	for _, setting := range p.Manifest.Settings {
		value, source, err := s.value(ctx, p, setting, stored)
		if err != nil {
			return nil, err
		}
		status := SettingStatus{Setting: setting, Source: source, Variable: Variable(p.Name, setting.Name)}
		if !setting.Secret {
			status.Value = value.Reveal()
		}
		list = append(list, status)
	}
	return list, nil
}

// SetSetting stores a value; the empty one removes what is stored. Errors: NotFound for an unknown plugin; Invalid for a
// setting that it does not declare, and for values that are too long or no text.
func (s *Service) SetSetting(ctx context.Context, name, setting string, value secret.Text) error {
	const op = "plugin.SetSetting"
	p, err := s.installed(name)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(p.Manifest.Settings, func(d abi.Setting) bool { return d.Name == setting })
	if i < 0 {
		return fault.New(fault.Invalid, op, "plugin %s has no setting %q; it has: %s", name, setting, strings.Join(settingNames(p), ", "))
	}
	if value.IsZero() {
		return s.store.PluginSettingCleared(ctx, name, setting)
	}
	if text := value.Reveal(); len(text) > maxSetting || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return fault.New(fault.Invalid, op, "the value of %s must be text of at most %d bytes", setting, maxSetting)
	}
	row := &StoredSetting{Plugin: name, Name: setting, Sealed: p.Manifest.Settings[i].Secret, At: s.now().UTC().Truncate(time.Microsecond)}
	if !row.Sealed {
		row.Value = value.Reveal()
	} else if row.Value, err = s.sealer.Seal(ctx, Owner, placeOf(name, setting), value); err != nil {
		return err
	}
	return s.store.PluginSettingSet(ctx, row)
}

// installed finds a plugin by name whether or not it serves already: settings are often needed first.
func (s *Service) installed(name string) (*Plugin, error) {
	for _, p := range s.registry.Plugins() {
		if p.Name == name && p.Version != "" {
			return p, nil
		}
	}
	return nil, fault.New(fault.NotFound, "plugin.Settings", "no plugin %q is installed", name)
}

func settingNames(p *Plugin) []string {
	var names []string
	for _, s := range p.Manifest.Settings {
		names = append(names, s.Name)
	}
	return names
}

func placeOf(plugin, setting string) secret.Place {
	return secret.Place{Table: "plugin_settings", Column: "value", Row: plugin + "/" + setting}
}

func (s *Service) stored(ctx context.Context, p *Plugin) (map[string]*StoredSetting, error) {
	if len(p.Manifest.Settings) == 0 {
		return nil, nil
	}
	rows, err := s.store.PluginSettings(ctx, p.Name)
	if err != nil {
		return nil, err
	}
	stored := make(map[string]*StoredSetting, len(rows))
	for _, row := range rows {
		stored[row.Name] = row
	}
	return stored, nil
}

// value asks the sources in order.
func (s *Service) value(ctx context.Context, p *Plugin, d abi.Setting, stored map[string]*StoredSetting) (secret.Text, Source, error) {
	value, found, err := s.fromEnvironment(p.Name, d.Name)
	if err != nil || found {
		return value, FromEnvironment, err
	}
	row := stored[d.Name]
	switch {
	case row != nil && row.Sealed && d.Secret:
		value, err := s.sealer.Open(ctx, Owner, placeOf(p.Name, d.Name), row.Value)
		return value, FromStore, err
	case row != nil && !row.Sealed: // what was stored as a secret is never given as anything less
		return secret.NewText(row.Value), FromStore, nil
	case d.Default != "":
		return secret.NewText(d.Default), FromDefault, nil
	}
	return secret.Text{}, Unset, nil
}

// Names of environment variables: no flag of the host begins so, and the parts are told apart by two underscores.
const (
	variablePrefix    = "FRIGG_PLUGIN_"
	variableSeparator = "__"
	variableFile      = variableSeparator + "FILE"
)

// Variable is the name of the environment variable of a setting: FRIGG_PLUGIN_MY_CRM__API_KEY for api_key of my-crm. No
// two settings share one. It is empty where the name of the plugin or of the setting would make that unsure: with two
// dashes or underscores in a row, or one at the end. Such settings can only be stored.
func Variable(plugin, setting string) string {
	plugin = strings.ReplaceAll(plugin, "-", "_")
	for _, part := range []string{plugin, setting} {
		if strings.Contains(part+"_", variableSeparator) {
			return ""
		}
	}
	return variablePrefix + strings.ToUpper(plugin+variableSeparator+setting)
}

func (s *Service) fromEnvironment(plugin, setting string) (secret.Text, bool, error) {
	name := Variable(plugin, setting)
	if name == "" {
		return secret.Text{}, false, nil
	}
	if value, _ := s.env(name); value != "" {
		return secret.NewText(value), true, nil
	}
	path, _ := s.env(name + variableFile)
	if path == "" {
		return secret.Text{}, false, nil
	}
	text, err := readAll(path, maxSetting)
	if err != nil || len(text) > maxSetting {
		return secret.Text{}, false, fault.New(fault.Internal, "plugin.Settings", "the file that %s names cannot be read, or has more than %d bytes", name+variableFile, maxSetting).With(err)
	}
	return secret.NewText(strings.TrimRight(string(text), "\r\n")), true, nil
}
