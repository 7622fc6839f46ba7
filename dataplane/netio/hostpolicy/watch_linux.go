package hostpolicy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"culvert/tun/cbpf"
)

const (
	nftablesGroup   = 7 // NFNLGRP_NFTABLES
	xfrmPolicyGroup = 4 // XFRMNLGRP_POLICY
)

// A Watch tells of changes of what Firewall and Others look at, as far as the kernel has notices of
// them: those of nftables and of IPsec policies.
type Watch struct {
	files []*os.File
	wg    sync.WaitGroup
}

// NewWatch begins to watch the network namespace of the calling thread. It calls changed after each
// change, and with an error when it cannot watch any more. The calls may come from several
// goroutines, and must return soon.
func NewWatch(changed func(error)) (*Watch, error) {
	w := &Watch{}
	for _, c := range []struct {
		protocol, group int
		only            uint16 // kind of message; 0: each
	}{
		{unix.NETLINK_NETFILTER, nftablesGroup, unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWGEN},
		{unix.NETLINK_XFRM, xfrmPolicyGroup, 0},
	} {
		f, err := openNotices(c.protocol, c.group, c.only)
		if errors.Is(err, unix.EPROTONOSUPPORT) {
			continue // the kernel has none of it
		}
		if err != nil {
			w.Close()
			return nil, fmt.Errorf("watching the host's policy: %w", err)
		}
		w.files = append(w.files, f)
		w.wg.Go(func() { listen(f, changed) })
	}
	return w, nil
}

// Close ends the watch. No call of changed comes after it.
func (w *Watch) Close() {
	for _, f := range w.files {
		f.Close()
	}
	w.wg.Wait()
}

// openNotices opens a socket for the notices of a group; with only, for those of one kind.
func openNotices(protocol, group int, only uint16) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "netlink")
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	if err == nil && only != 0 {
		err = filter(fd, only)
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// filter has a socket receive only messages of a kind: the end of a change of nftables is a message
// of its own, behind those with the parts, of which there may be very many.
func filter(fd int, only uint16) error {
	kind := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, only))
	return cbpf.Attach(fd, unix.SO_ATTACH_FILTER, []bpf.Instruction{
		bpf.LoadAbsolute{Off: 4, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(kind), SkipFalse: 1},
		bpf.RetConstant{Val: 1 << 18},
		bpf.RetConstant{Val: 0},
	})
}

// listen tells of each notice until the socket is closed, or is of no use any more.
func listen(f *os.File, changed func(error)) {
	buf := make([]byte, 64<<10)
	for {
		_, err := f.Read(buf)
		switch {
		case errors.Is(err, os.ErrClosed):
			return
		case err != nil && !errors.Is(err, unix.ENOBUFS): // of which nobody knows what was lost
			changed(fmt.Errorf("changes of the host's policy are not seen any more: %w", err))
			return
		}
		changed(nil)
	}
}
