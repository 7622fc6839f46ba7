package hostpolicy

import (
	"errors"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// errCgroup is a program of the daemon's cgroup that sees its packets, such as systemd's
// IPAddressDeny and IPAccounting.
var errCgroup = errors.New("the daemon's cgroup has a program for its packets (such as systemd's IPAddressDeny or IPAccounting)")

// cgroupRoots are where the unified hierarchy may be.
var cgroupRoots = []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}

// cgroupPrograms returns errors if programs of a process's cgroup, or of one above it, see packets
// that its sockets receive or send. It takes the roots of the hierarchy, and the content of the
// process's file cgroup in /proc. Where the system does not tell, there are none.
func cgroupPrograms(roots []string, groups []byte) (in, out error) {
	for line := range strings.Lines(string(groups)) {
		path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		for _, root := range roots {
			if !ok {
				continue
			}
			if f, err := os.Open(root + path); err == nil {
				if hasPrograms(f, ebpf.AttachCGroupInetIngress) {
					in = errCgroup
				}
				if hasPrograms(f, ebpf.AttachCGroupInetEgress) {
					out = errCgroup
				}
				f.Close()
			}
		}
	}
	return in, out
}

// hasPrograms reports whether programs of a kind have an effect in a cgroup.
func hasPrograms(cgroup *os.File, kind ebpf.AttachType) bool {
	const effective = 1 // BPF_F_QUERY_EFFECTIVE
	r, err := link.QueryPrograms(link.QueryOptions{Target: int(cgroup.Fd()), Attach: kind, QueryFlags: effective})
	return err == nil && len(r.Programs) > 0
}
