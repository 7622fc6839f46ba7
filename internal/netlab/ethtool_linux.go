package netlab

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ethtoolValue is struct ethtool_value of <linux/ethtool.h>.
type ethtoolValue struct{ cmd, data uint32 }

// NoOffloads turns off checksum and segmentation offloads of a device, so that its traffic is like
// that of a real wire: complete checksums, and packets of at most the MTU.
func (h *Host) NoOffloads(dev string) error {
	return h.ethtool(dev, 0, unix.ETHTOOL_STSO, unix.ETHTOOL_SGSO, unix.ETHTOOL_SGRO, unix.ETHTOOL_STXCSUM)
}

// GRO makes a device coalesce received packets, as real ones do. Between the ends of a veth pair it
// needs NoOffloads at the other end.
func (h *Host) GRO(dev string) error { return h.ethtool(dev, 1, unix.ETHTOOL_SGRO) }

// ethtool sets settings of a device to a value.
func (h *Host) ethtool(dev string, value uint32, cmds ...uint32) error {
	return h.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for _, cmd := range cmds {
			if err := ethtoolSet(fd, dev, &ethtoolValue{cmd: cmd, data: value}); err != nil {
				return fmt.Errorf("%s: ethtool %#x on %s: %w", h.Name, cmd, dev, err)
			}
		}
		return nil
	})
}

func ethtoolSet(fd int, dev string, v *ethtoolValue) error {
	ifr, err := unix.NewIfreq(dev)
	if err != nil {
		return err
	}
	// struct ifreq is a name of 16 octets and a union that holds the pointer.
	type ifreqData struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}
	r := ifreqData{data: unsafe.Pointer(v)}
	copy(r.name[:], ifr.Name())
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&r))); errno != 0 {
		return errno
	}
	return nil
}

// LikeNICs makes the ends of a link behave like network cards: packets are cut to the MTU, with
// whole checksums, before they enter the link, and joined by GRO where they leave it. A veth pair
// by itself hands over what its sender has joined.
func LikeNICs(ends ...Iface) error {
	for _, i := range ends {
		if err := i.Host.NoOffloads(i.Name); err != nil {
			return err
		}
	}
	for _, i := range ends {
		if err := i.Host.GRO(i.Name); err != nil {
			return err
		}
	}
	return nil
}
