package clsact

import (
	"encoding/binary"
	"errors"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const tcmsgLen = 20 // struct tcmsg (linux/rtnetlink.h)

// A Place is the qdisc of a device for what comes there: clsact, or its forerunner ingress.
type Place struct {
	stubs  []stub
	others bool // there are filters of others, or may be
}

// Others reports whether packets that come to the device are looked at by filters of others.
func (p Place) Others() bool { return p.others }

// A stub is a filter of ours, or of another process like this one.
type stub struct {
	device   int
	name     string
	program  uint32
	handle   uint32
	priority uint16
	protocol uint16
}

// Places returns the qdiscs of the calling thread's network namespace, by the device's index.
func Places() (map[int]Place, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETQDISC, unix.NLM_F_DUMP)
	req.AddData(&nl.TcMsg{Family: unix.AF_UNSPEC})
	list, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWQDISC)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil // the kernel has no queueing
	}
	if err != nil {
		return nil, err
	}
	at := make(map[int]Place)
	for _, b := range list {
		device, ingress, shared := parseQdisc(b)
		if !ingress {
			continue
		}
		p, err := placeAt(device)
		if err != nil {
			return nil, err
		}
		p.others = p.others || shared
		at[device] = p
	}
	return at, nil
}

// parseQdisc returns the device of a qdisc, and whether it is one for what comes there, and with
// filters that it shares with other devices.
func parseQdisc(b []byte) (device int, ingress, shared bool) {
	if len(b) < tcmsgLen {
		return 0, false, false
	}
	each(b[tcmsgLen:], func(kind uint16, v []byte) {
		switch kind {
		case nl.TCA_KIND:
			name := unix.ByteSliceToString(v)
			ingress = name == "clsact" || name == "ingress"
		case nl.TCA_INGRESS_BLOCK:
			shared = true
		}
	})
	return int(int32(binary.NativeEndian.Uint32(b[4:]))), ingress, shared
}

// placeAt returns the filters for what comes to a device that has a qdisc for them.
func placeAt(device int) (p Place, err error) {
	list, err := filters(device, netlink.HANDLE_MIN_INGRESS)
	for _, b := range list {
		switch s, kind := parseFilter(b); {
		case kind == "bpf" && s.handle == 0: // it only begins a list
		case strings.HasPrefix(s.name, prefix):
			p.stubs = append(p.stubs, s)
		default:
			p.others = true
		}
	}
	return p, err
}

// filters asks for the filters of a device at one of the hooks of clsact.
func filters(device int, hook uint32) ([][]byte, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETTFILTER, unix.NLM_F_DUMP)
	req.AddData(&nl.TcMsg{Family: unix.AF_UNSPEC, Ifindex: int32(device), Parent: hook})
	list, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWTFILTER)
	if errors.Is(err, unix.ENODEV) {
		return nil, nil // it is gone meanwhile
	}
	return list, err
}

// parseFilter returns a filter and its kind. Only one of kind bpf may have a name.
func parseFilter(b []byte) (s stub, kind string) {
	if len(b) < tcmsgLen {
		return s, ""
	}
	info := binary.NativeEndian.Uint32(b[16:])
	s = stub{
		device: int(int32(binary.NativeEndian.Uint32(b[4:]))), handle: binary.NativeEndian.Uint32(b[8:]),
		priority: uint16(info >> 16), protocol: nl.Swap16(uint16(info)),
	}
	var options []byte
	each(b[tcmsgLen:], func(attr uint16, v []byte) {
		switch attr {
		case nl.TCA_KIND:
			kind = unix.ByteSliceToString(v)
		case nl.TCA_OPTIONS:
			options = v
		}
	})
	if kind != "bpf" {
		return s, kind
	}
	each(options, func(attr uint16, v []byte) {
		switch {
		case attr == nl.TCA_BPF_NAME:
			s.name = unix.ByteSliceToString(v)
		case attr == nl.TCA_BPF_ID && len(v) == 4:
			s.program = binary.NativeEndian.Uint32(v)
		}
	})
	return s, kind
}

// each calls f with the attributes in b. Other octets end them.
func each(b []byte, f func(kind uint16, v []byte)) {
	list, _ := nl.ParseRouteAttr(b)
	for _, a := range list {
		f(a.Attr.Type&nl.NLA_TYPE_MASK, a.Value)
	}
}
