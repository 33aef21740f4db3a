package guest

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"strings"
)

const (
	leastBudget   = 1 << 30
	unknownBudget = 2 << 30
)

// defaultBudget is a quarter of the memory that this process may use, at least 1 GiB; 2 GiB where that is not known.
func defaultBudget() uint64 {
	meminfo, _ := os.ReadFile("/proc/meminfo")
	cgroup, _ := os.ReadFile("/sys/fs/cgroup/memory.max")
	memory := machineMemory(meminfo, cgroup)
	if memory == 0 {
		return unknownBudget
	}
	return max(leastBudget, memory/4)
}

// machineMemory is the smaller of what the machine has and what its control group allows, 0 if neither is known. The
// formats are those of Linux: proc_meminfo(5) and memory.max of cgroup v2.
func machineMemory(meminfo, cgroup []byte) uint64 {
	var memory uint64
	for lines := bufio.NewScanner(bytes.NewReader(meminfo)); lines.Scan(); {
		if f := strings.Fields(lines.Text()); len(f) == 3 && f[0] == "MemTotal:" && f[2] == "kB" {
			kib, _ := strconv.ParseUint(f[1], 10, 44)
			memory = kib << 10
		}
	}
	allowed, err := strconv.ParseUint(strings.TrimSpace(string(cgroup)), 10, 64)
	if err == nil && (memory == 0 || allowed < memory) { // "max" is no number
		return allowed
	}
	return memory
}
