//go:build e2e && (linux || darwin)

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestCalDAV connects an account of a Radicale server with user name and password.
func TestCalDAV(t *testing.T) {
	server := startRadicale(t, "ada", "analytical-engine")
	in := install(t)
	in.start(t)
	in.drop(t, "caldav")
	in.run(t, "", "plugin", "approve", "caldav", "--yes")
	_, token := in.createUser(t, "ada")
	ada := &client{base: in.url(), token: token}
	eventually(t, startDeadline, "module that serves", func() bool {
		return ada.call(t, http.MethodGet, "/api/authorize?entityType=caldav", nil).Status == http.StatusOK
	})

	form := map[string]any{"base_url": server, "username": "ada", "password": "wrong"}
	ada.refused(t, http.StatusBadRequest, http.MethodPost, "/api/authorize", authorize("caldav", form), "does not accept")
	form["password"] = "analytical-engine"
	var done authorization
	ada.must(t, http.StatusOK, http.MethodPost, "/api/authorize", authorize("caldav", form), &done)
	ada.must(t, http.StatusOK, http.MethodGet, "/api/entities/"+done.EntityID+"/test-auth", nil, nil)
}

// startRadicale runs the installed Radicale with one user until t ends, and returns its address.
func startRadicale(t *testing.T, user, password string) string {
	t.Helper()
	program, err := exec.LookPath("radicale")
	if err != nil {
		t.Skip("radicale is not installed; apt-get install radicale")
	}
	dir, address := t.TempDir(), freeAddress(t)
	config := fmt.Sprintf("[server]\nhosts = %s\n[auth]\ntype = htpasswd\nhtpasswd_filename = %s/users\nhtpasswd_encryption = plain\n"+
		"[storage]\nfilesystem_folder = %s/data\n", address, dir, dir)
	check(t, os.WriteFile(filepath.Join(dir, "config"), []byte(config), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "users"), []byte(user+":"+password+"\n"), 0o600))
	cmd := exec.Command(program, "-C", filepath.Join(dir, "config"))
	check(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	eventually(t, startDeadline, "answer of radicale", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return "http://" + address
}
