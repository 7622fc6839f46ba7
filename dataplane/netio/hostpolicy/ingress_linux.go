package hostpolicy

import (
	"encoding/binary"
	"errors"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Ingresses are the devices with filters of tc, or a place for them, for what comes there: a packet
// that a program takes does not get to them.
func Ingresses() (map[int]bool, error) {
	const size, ifindex, kindOf = 20, 4, 1 // struct tcmsg; TCA_KIND
	req := nl.NewNetlinkRequest(unix.RTM_GETQDISC, unix.NLM_F_DUMP)
	req.AddData(&nl.TcMsg{Family: unix.AF_UNSPEC})
	list, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWQDISC)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil // the kernel has no queueing
	}
	if err != nil {
		return nil, err
	}
	at := make(map[int]bool)
	for _, b := range list {
		if len(b) < size {
			continue
		}
		for kind, v := range attributes(b[size:]) {
			if kind == kindOf && (text(v) == "ingress" || text(v) == "clsact") {
				at[int(binary.NativeEndian.Uint32(b[ifindex:]))] = true
			}
		}
	}
	return at, nil
}

// IsLast reports whether a program comes behind all others at a device's hook tcx, before the IP
// stack: those behind it do not see what it takes. Where the system does not tell, it does.
func IsLast(device int, p ebpf.ProgramID) bool {
	r, err := link.QueryPrograms(link.QueryOptions{Target: device, Attach: ebpf.AttachTCXIngress})
	return err != nil || len(r.Programs) == 0 || r.Programs[len(r.Programs)-1].ID == p
}
