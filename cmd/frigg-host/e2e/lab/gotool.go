//go:build linux || darwin

package lab

import (
	"context"
	"encoding/json"
	"fmt"
)

// goEnv keeps builds of other modules apart from the checkout they are started from.
var goEnv = []string{"GOWORK=off"}

// goTool is what every Go recipe needs.
var goTool = tool{"go", "it is built from source"}

// downloadModule puts a module into the module cache, checks it against sum ("h1:..."), and returns its directory, which
// is read-only and shared.
func downloadModule(ctx context.Context, dir, module, version, sum string) (string, error) {
	out, err := run(ctx, dir, goEnv, "go", "mod", "download", "-json", module+"@"+version)
	if err != nil {
		return "", err
	}
	var m struct{ Version, Sum, Dir string }
	if err := json.Unmarshal(out, &m); err != nil {
		return "", fmt.Errorf("what go mod download says of %s: %w", module, err)
	}
	if m.Version != version || m.Sum != sum {
		return "", fmt.Errorf("%s: want %s %s, the registry gave %s %s", module, version, sum, m.Version, m.Sum)
	}
	return m.Dir, nil
}
