package main

import (
	"os"
	"path/filepath"

	"github.com/frigg-host/frigg-host/host/plugin"
	"github.com/frigg-host/frigg-host/host/plugin/bundle"
)

type pluginPackCmd struct {
	Manifest string `help:"Manifest as YAML or JSON." required:"" type:"existingfile"`
	File     string `arg:"" name:"in" help:"The compiled module, or the entry of a program in TypeScript or JavaScript." type:"existingfile"`
	Out      string `short:"o" help:"Where the packed plugin goes." required:"" type:"path"`
}

// Help has the examples of `plugin pack --help`.
func (pluginPackCmd) Help() string {
	return `The manifest is checked, and compared with what the module imports and exports.

A program in TypeScript or JavaScript is bundled with what it imports: files below its folder, packages in node_modules there,
and @frigg-host/sdk, which needs no installation. Types are removed and not checked.

Example:
  GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o raw.wasm .
  frigg-host plugin pack --manifest manifest.yaml raw.wasm -o my-plugin.wasm
  frigg-host plugin pack --manifest manifest.json app.ts -o my-plugin.wasm`
}

func (c *pluginPackCmd) Run(s streams) error {
	manifest, err := os.ReadFile(c.Manifest)
	if err != nil {
		return err
	}
	if bundle.Is(c.File) {
		return c.packProgram(manifest)
	}
	module, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	packed, err := plugin.Pack(module, manifest)
	return c.write(packed, err)
}

func (c *pluginPackCmd) packProgram(manifest []byte) error {
	program, err := bundle.Build(c.File)
	if err != nil {
		return &exitError{exitUnusable, operatorText(err)}
	}
	packed, err := plugin.PackProgram(*program, manifest)
	return c.write(packed, err)
}

// write writes a plugin, unless what it was made of is unusable.
func (c *pluginPackCmd) write(packed []byte, err error) error {
	if err != nil {
		return &exitError{exitUnusable, filepath.Base(c.Manifest) + ": " + operatorText(err)}
	}
	return replaceFile(c.Out, packed)
}

// replaceFile writes a file so that nobody ever sees half of it.
func replaceFile(path string, content []byte) error {
	part, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(part.Name())
	_, err = part.Write(content)
	if err == nil {
		err = part.Chmod(0o644)
	}
	if closed := part.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(part.Name(), path)
}
