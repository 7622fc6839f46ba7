package bench

import (
	"bufio"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// flagsOfInterest are the CPU flags relevant to AES-GCM and ChaCha20-Poly1305, on x86 and ARM.
var flagsOfInterest = []string{"aes", "pclmulqdq", "avx2", "avx512f", "vaes", "vpclmulqdq", "sha_ni", "pmull", "asimd", "sve"}

// thisMachine returns a description of the machine it runs on.
func thisMachine() (Machine, error) {
	m := Machine{Cores: runtime.NumCPU(), Arch: runtime.GOARCH, Go: runtime.Version()}
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return m, err
	}
	defer f.Close()
	m.CPU, m.Flags = cpuInfo(bufio.NewScanner(f))
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return m, err
	}
	m.MemoryMiB = int64(uint64(info.Totalram) * uint64(info.Unit) >> 20)
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return m, err
	}
	m.Kernel = unix.ByteSliceToString(u.Release[:])
	return m, nil
}

// cpuInfo returns the first processor's name and flags from /proc/cpuinfo. On ARM, which has no
// names there, the name is the numbers of implementer and part.
func cpuInfo(lines *bufio.Scanner) (name string, flags []string) {
	var part []string
	for lines.Scan() && lines.Text() != "" {
		key, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "model name":
			name = value
		case "CPU implementer", "CPU part":
			part = append(part, value)
		case "flags", "Features":
			flags = slices.DeleteFunc(strings.Fields(value), func(f string) bool { return !slices.Contains(flagsOfInterest, f) })
		}
	}
	if name == "" {
		name = strings.Join(part, " ")
	}
	return name, flags
}
