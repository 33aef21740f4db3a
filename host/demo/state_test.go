package demo_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/frigg-host/frigg-host/host/demo"
	"github.com/google/go-cmp/cmp"
)

func onDisk(t *testing.T) demo.Config {
	t.Helper()
	cfg := unlimited()
	cfg.DataFile = filepath.Join(t.TempDir(), "sub", "crm.json")
	return cfg
}

func TestState_ASecondStartFindsEverything(t *testing.T) {
	t.Parallel()
	cfg := onDisk(t)
	v := start(t, cfg)
	got := v.redeem(v.consent(nil).Get("code")).want(200)
	c := caller{v, got.str("access_token")}
	id := c.call("POST", "/contacts", `{"name":"Kept"}`, "Idempotency-Key", "k").want(201).str("id")
	c.call("POST", "/contacts/"+id+"/notes", `{"body":"kept"}`).want(201)
	before := c.call("GET", "/contacts?limit=100", "").want(200)
	me := c.call("GET", "/me", "").want(200)
	v.stop()

	v = start(t, cfg)
	c.vendor = v
	if again := c.call("POST", "/contacts", `{"name":"Kept"}`, "Idempotency-Key", "k").want(201); again.str("id") != id {
		t.Errorf("the same key made %s after the restart, %s before", again.str("id"), id)
	}
	if diff := cmp.Diff(before.body, c.call("GET", "/contacts?limit=100", "").want(200).body); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(me.body, c.call("GET", "/me", "").want(200).body); diff != "" {
		t.Error(diff)
	}
	if notes, _ := c.list("/contacts/" + id + "/notes"); len(notes) != 1 {
		t.Errorf("notes: %v", notes)
	}
	v.refresh(got.str("refresh_token")).want(200)
}

func TestState_WhatWasAcknowledgedIsInTheFile(t *testing.T) {
	t.Parallel()
	cfg := onDisk(t)
	c := start(t, cfg).connect(everything)
	for i := range 5 {
		id := c.call("POST", "/contacts", fmt.Sprintf(`{"name":"N%d"}`, i)).want(201).str("id")
		copied := cfg
		copied.DataFile = filepath.Join(t.TempDir(), "copy.json")
		image, err := os.ReadFile(cfg.DataFile)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(copied.DataFile, image, 0o600); err != nil {
			t.Fatal(err)
		}
		after := start(t, copied) // as if the first had been killed
		caller{after, c.token}.call("GET", "/contacts/"+id, "").want(200)
	}
}

func TestState_AFailingDiskLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	cfg := onDisk(t)
	c := start(t, cfg).connect(everything)
	before := c.call("GET", "/contacts?limit=100", "").body
	obstacle := cfg.DataFile + ".next"
	if err := os.Mkdir(obstacle, 0o700); err != nil {
		t.Fatal(err)
	}
	if got := c.call("POST", "/contacts", `{"name":"Lost"}`, "Idempotency-Key", "k").want(500); got.str("error", "code") != "internal" {
		t.Errorf("answer: %s", got.body)
	}
	if diff := cmp.Diff(before, c.call("GET", "/contacts?limit=100", "").body); diff != "" {
		t.Error(diff)
	}
	if err := os.Remove(obstacle); err != nil {
		t.Fatal(err)
	}
	c.call("POST", "/contacts", `{"name":"Kept"}`, "Idempotency-Key", "k").want(201)
}

func TestState_RefusesAFileThatIsNotOurs(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"empty": "", "half": `{"version":1,"con`, "other": `{"hello":1}`, "newer": `{"version":99}`, "list": `[]`,
	} {
		cfg := onDisk(t)
		cfg.BaseURL = "http://127.0.0.1:1"
		if err := os.MkdirAll(filepath.Dir(cfg.DataFile), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(cfg.DataFile, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if crm, err := demo.New(cfg); err == nil {
			crm.Close()
			t.Errorf("%s: accepted", name)
		}
		if kept, err := os.ReadFile(cfg.DataFile); err != nil || string(kept) != content {
			t.Errorf("%s: the file was changed to %q (%v)", name, kept, err)
		}
	}
}

func TestState_KeepsNoTokenAndNoCode(t *testing.T) {
	t.Parallel()
	cfg := onDisk(t)
	v := start(t, cfg)
	code := v.consent(nil).Get("code")
	got := v.redeem(code).want(200)
	image, err := os.ReadFile(cfg.DataFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{code, got.str("access_token"), got.str("refresh_token")} {
		if len(secret) < 40 || bytes.Contains(image, []byte(secret)) {
			t.Errorf("%q is in the data file", secret)
		}
	}
	info, err := os.Stat(cfg.DataFile)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestState_AFullTableRefusesMore(t *testing.T) {
	t.Parallel()
	cfg := onDisk(t)
	v := start(t, cfg)
	c := v.connect(everything)
	c.call("POST", "/tasks", `{"title":"x"}`).want(201)
	v.stop()
	multiply(t, cfg.DataFile, "tasks", 4999)
	c.vendor = start(t, cfg)
	c.call("POST", "/tasks", `{"title":"last"}`).want(201)
	if got := c.call("POST", "/tasks", `{"title":"over"}`).want(422); got.str("error", "code") != "quota_exceeded" {
		t.Errorf("answer: %s", got.body)
	}
}

// multiply fills a table of the data file with copies of its first row, up to n.
func multiply(t *testing.T, file, table string, n int) {
	t.Helper()
	image, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var state map[string]json.RawMessage
	var rows map[string]map[string]any
	if err := json.Unmarshal(image, &state); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(state[table], &rows); err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		for i := len(rows); i < n; i++ {
			rows[fmt.Sprint("copy", i)] = row
		}
		break
	}
	if state[table], err = json.Marshal(rows); err != nil {
		t.Fatal(err)
	}
	if image, err = json.Marshal(state); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, image, 0o600); err != nil {
		t.Fatal(err)
	}
}
