//go:build peers && linux && amd64

package peers

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// describe writes on what was measured.
func describe(w io.Writer) {
	fmt.Fprintf(w, "%s, %d cores, Linux %s, %s, %s; wrk -t1 -c%s on the same cores; %d rounds of %v in turns; load average before: %s.\n\n",
		find("/proc/cpuinfo", `model name\s*: (.*)`), runtime.NumCPU(), find("/proc/sys/kernel/osrelease", `(\S+)`), runtime.Version(),
		time.Now().UTC().Format(time.DateOnly), connections, *rounds, *turn, load())
	if out, err := exec.Command(*ours, "version").Output(); err == nil {
		fmt.Fprintf(w, "%s\n\n", strings.TrimSpace(string(out)))
	}
}

// find is the first group of a pattern in a file.
func find(file, pattern string) string {
	text, _ := os.ReadFile(file)
	if m := regexp.MustCompile(pattern).FindSubmatch(text); m != nil {
		return string(m[1])
	}
	return "unknown"
}
