package netio

import (
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

var (
	errNoAnswer = errors.New("netio: netlink: no answer")
	errOdd      = errors.New("netio: netlink: an answer that cannot be read")
)

// A kernel is a netlink socket for questions, in the network namespace of the thread that opens it.
type kernel struct {
	sockets map[int]*nl.SocketHandle
}

func (k *kernel) open() error {
	s, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("netio: a netlink socket: %w", err)
	}
	k.sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: s}}
	return nil
}

func (k *kernel) close() {
	for _, s := range k.sockets {
		s.Close()
	}
}

// A question is a netlink message that the kernel answers.
type question struct {
	kind, answer int
	flags        int
	body         nl.NetlinkRequestData
	attrs        []*nl.RtAttr
}

// ask returns the bodies of the answers to q.
func (k *kernel) ask(q question) ([][]byte, error) {
	req := nl.NewNetlinkRequest(q.kind, q.flags)
	req.Sockets = k.sockets
	req.AddData(q.body)
	for _, a := range q.attrs {
		req.AddData(a)
	}
	return req.Execute(unix.NETLINK_ROUTE, uint16(q.answer))
}

// one returns the body of the only answer to q.
func (k *kernel) one(q question) ([]byte, error) {
	list, err := k.ask(q)
	if err == nil && len(list) == 0 {
		err = errNoAnswer
	}
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// route asks for the route that key's packets with the mark take now; with whole, for all of it as
// it was configured.
func (k *kernel) route(key hopKey, mark uint32, whole bool) (routeAnswer, error) {
	bits := uint8(key.remote.BitLen())
	msg := &nl.RtMsg{RtMsg: unix.RtMsg{Family: familyOf(key.remote), Dst_len: bits, Src_len: bits, Tos: key.dscp}}
	if whole {
		msg.Flags = unix.RTM_F_FIB_MATCH
	}
	attrs := []*nl.RtAttr{
		nl.NewRtAttr(unix.RTA_DST, key.remote.AsSlice()), nl.NewRtAttr(unix.RTA_SRC, key.local.AsSlice()),
		nl.NewRtAttr(unix.RTA_UID, nl.Uint32Attr(uint32(os.Geteuid()))),
	}
	if mark != 0 {
		attrs = append(attrs, nl.NewRtAttr(unix.RTA_MARK, nl.Uint32Attr(mark)))
	}
	b, err := k.one(question{unix.RTM_GETROUTE, unix.RTM_NEWROUTE, 0, msg, attrs})
	if err != nil {
		return routeAnswer{}, err
	}
	return parseRoute(b)
}

// link asks for a device.
func (k *kernel) link(index int) (linkAnswer, error) {
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	b, err := k.one(question{kind: unix.RTM_GETLINK, answer: unix.RTM_NEWLINK, body: msg})
	if err != nil {
		return linkAnswer{}, err
	}
	return parseLink(b)
}

// neighbour asks for a neighbour of a device.
func (k *kernel) neighbour(at neighbourKey) (neighbourAnswer, error) {
	b, err := k.one(question{
		unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH, 0,
		&netlink.Ndmsg{Family: familyOf(at.addr), Index: uint32(at.link)},
		[]*nl.RtAttr{nl.NewRtAttr(unix.NDA_DST, at.addr.AsSlice())},
	})
	if err != nil {
		return neighbourAnswer{}, err
	}
	return parseNeighbour(b)
}

// rulesByProtocol reports whether a routing rule of a family may treat packets of protocol 50 with
// the mark in another way: the kernel is not asked by it (RTA_IP_PROTO knows TCP, UDP and ICMP).
func (k *kernel) rulesByProtocol(family int, mark uint32) (bool, error) {
	list, err := k.ask(question{kind: unix.RTM_GETRULE, answer: unix.RTM_NEWRULE, flags: unix.NLM_F_DUMP, body: nl.NewIfInfomsg(family)})
	if err != nil {
		return false, err
	}
	rules := make([]ruleAnswer, len(list))
	for i, b := range list {
		if rules[i], err = parseRule(b); err != nil {
			return false, err
		}
	}
	return byProtocol(rules, mark), nil
}
