package hostpolicy

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"culvert/dataplane/netio/clsact"
)

// Ingresses are the devices with filters of tc for what comes there: packets that a program takes
// at tcx do not get to them. Those of package clsact do not count.
func Ingresses() (map[int]bool, error) {
	places, err := clsact.Places()
	at := make(map[int]bool)
	for device, p := range places {
		if p.Others() {
			at[device] = true
		}
	}
	return at, err
}

// IsLast reports whether a program comes behind all others at a device's hook tcx, before the IP
// stack: those behind it do not see what it takes. Where the system does not tell, it does.
func IsLast(device int, p ebpf.ProgramID) bool {
	r, err := link.QueryPrograms(link.QueryOptions{Target: device, Attach: ebpf.AttachTCXIngress})
	return err != nil || len(r.Programs) == 0 || r.Programs[len(r.Programs)-1].ID == p
}
