package netlab

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Shape limits the device's sending to a rate, in bits per second. At most queue octets wait, and
// the excess is dropped. With bands, the queue is the kernel's ordinary one (pfifo_fast), which
// sends urgent packets first, and holds queue/1280 packets.
func (h *Host) Shape(dev string, rate, queue int, bands bool) error {
	link, err := h.nl.LinkByName(dev)
	if err != nil {
		return err
	}
	const burst = 32 << 10
	root := netlink.MakeHandle(1, 0)
	err = h.nl.QdiscReplace(&netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Handle: root, Parent: netlink.HANDLE_ROOT},
		Rate:       uint64(rate) / 8, Limit: uint32(queue), Buffer: uint32(netlink.Xmittime(uint64(rate)/8, burst)),
	})
	if err != nil {
		return fmt.Errorf("%s: limiting the rate of %s: %w", h.Name, dev, err)
	}
	if !bands {
		return nil
	}
	if err := h.nl.LinkSetTxQLen(link, queue/1280); err != nil { // the limit of pfifo_fast
		return fmt.Errorf("%s: the queue of %s: %w", h.Name, dev, err)
	}
	err = h.nl.QdiscReplace(&netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(2, 0), Parent: netlink.MakeHandle(1, 1)},
		QdiscType:  "pfifo_fast",
	})
	if err != nil {
		return fmt.Errorf("%s: giving %s bands: %w", h.Name, dev, err)
	}
	return nil
}

// Unshape removes the limits of Shape.
func (h *Host) Unshape(dev string) error {
	link, err := h.nl.LinkByName(dev)
	if err != nil {
		return err
	}
	root := &netlink.GenericQdisc{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Parent: netlink.HANDLE_ROOT}}
	if err := h.nl.QdiscDel(root); err != nil && err != unix.ENOENT {
		return fmt.Errorf("%s: unlimiting the rate of %s: %w", h.Name, dev, err)
	}
	return nil
}
