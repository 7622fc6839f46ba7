package tun

import (
	"culvert/tun/gso"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// MaxQueues is the greatest number of queues of a device: the kernel's MAX_TAP_QUEUES.
const MaxQueues = 256

// A Device is a TUN device of this process. It is not persistent: it goes when it is closed or the
// process ends. Its methods may be called from any goroutine, but Close only when no worker uses a
// queue any more.
type Device struct {
	name     string
	index    int
	offloads gso.Offloads
	queues   []*queue
	gso      gsoRefusals
	nl       *netlink.Handle
	log      *slog.Logger
}

// Open makes the device in the calling thread's network namespace and sets it up, with all offloads
// of the kernel that cfg does not disable. Errors name the remedy, and leave nothing behind.
func Open(cfg Config) (*Device, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("tun: opening a netlink socket: %w", err)
	}
	d := &Device{nl: nl, log: cfg.Log}
	d.gso.log = cfg.Log
	if err := d.open(cfg); err != nil {
		d.Close()
		return nil, err
	}
	d.log.Info("tun device is up", "device", d.name, "queues", len(d.queues), "offloads", d.offloads.String())
	return d, nil
}

func (d *Device) open(cfg Config) error {
	// Opening an existing persistent device with several queues would succeed, and two programs
	// would share its packets.
	if _, err := d.nl.LinkByName(cfg.Name); err == nil {
		return nameTaken(cfg.Name)
	}
	d.name = cfg.Name
	for range cfg.Queues {
		q, name, err := openQueue(d.name, cfg.Queues > 1, !cfg.Disable.Checksum)
		if err != nil {
			return err
		}
		q.gso = &d.gso
		d.queues = append(d.queues, q)
		d.name = name // later queues join the device that the first one made
	}
	d.setOffloads(cfg.Disable)
	link, err := d.nl.LinkByName(d.name)
	if err != nil {
		return fmt.Errorf("tun: looking up %s: %w", d.name, err)
	}
	d.index = link.Attrs().Index
	if cfg.MTU > 0 {
		if err := d.SetMTU(cfg.MTU); err != nil {
			return err
		}
	}
	d.quiet(link)
	if err := d.nl.LinkSetUp(link); err != nil {
		return fmt.Errorf("tun: setting %s up: %w", d.name, err)
	}
	return nil
}

func nameTaken(name string) error {
	return fmt.Errorf("tun: a network device %q exists already: if no other culvert uses it, remove it with ip link del %s; or choose another name with [daemon] tun", name, name)
}

// openQueue opens one queue of the device, and makes the device with the first. It returns the
// device's name.
func openQueue(name string, multi, vnet bool) (*queue, string, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return nil, "", fmt.Errorf("tun: /dev/net/tun: %w: load the tun module (modprobe tun), or give the container the device (--device /dev/net/tun)", err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return nil, "", fmt.Errorf("tun: /dev/net/tun: %w: run as root, or give this user (and this container) access to the device", err)
	case err != nil:
		return nil, "", fmt.Errorf("tun: /dev/net/tun: %w", err)
	}
	flags := uint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if vnet {
		flags |= unix.IFF_VNET_HDR
	}
	if multi {
		flags |= unix.IFF_MULTI_QUEUE
	}
	got, vnet, err := setIff(fd, name, flags)
	if err != nil {
		unix.Close(fd)
		return nil, "", err
	}
	return &queue{fd: fd, vnet: vnet, call: sysWritev}, got, nil
}

// setIff binds fd to the device, with a virtio-net header before each packet unless the kernel
// refuses that.
func setIff(fd int, name string, flags uint16) (got string, vnet bool, err error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return "", false, fmt.Errorf("tun: device name %q: %w", name, err)
	}
	ifr.SetUint16(flags)
	err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	vnet = flags&unix.IFF_VNET_HDR != 0
	if vnet && errors.Is(err, unix.EINVAL) {
		vnet = false
		ifr.SetUint16(flags &^ unix.IFF_VNET_HDR)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	}
	switch {
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EEXIST):
		return "", false, nameTaken(name)
	case errors.Is(err, unix.EPERM):
		return "", false, fmt.Errorf("tun: making device %s: %w: run as root or with CAP_NET_ADMIN, or choose tun = \"userspace\"", name, err)
	case err != nil:
		return "", false, fmt.Errorf("tun: making device %s: %w", name, err)
	}
	if vnet {
		if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, gso.VnetLen); err != nil {
			return "", false, fmt.Errorf("tun: setting the virtio-net header's size on %s: %w", name, err)
		}
	}
	return ifr.Name(), vnet, nil
}

// The offload bits of TUNSETOFFLOAD, <linux/if_tun.h>. The USO bits exist since Linux 6.2.
const (
	tunCsum   = 0x01
	tunTSO4   = 0x02
	tunTSO6   = 0x04
	tunTSOECN = 0x08
	tunUSO4   = 0x20
	tunUSO6   = 0x40
)

// offloadSteps holds sets of offloads, in the order in which they are tried until the kernel takes
// one.
var offloadSteps = []struct {
	bits int
	o    gso.Offloads
}{
	{tunCsum | tunTSO4 | tunTSO6 | tunTSOECN | tunUSO4 | tunUSO6, gso.Offloads{Checksum: true, TSO: true, USO: true}},
	{tunCsum | tunTSO4 | tunTSO6 | tunTSOECN, gso.Offloads{Checksum: true, TSO: true}},
	{tunCsum | tunUSO4 | tunUSO6, gso.Offloads{Checksum: true, USO: true}},
	{tunCsum, gso.Offloads{Checksum: true}},
	{0, gso.Offloads{}},
}

// setOffloads switches on the offloads that the kernel has and the configuration allows. They
// belong to the device: the descriptor of one queue sets them for all.
func (d *Device) setOffloads(disable gso.Offloads) {
	for _, q := range d.queues {
		if !q.vnet {
			return
		}
	}
	for _, s := range offloadSteps {
		if s.o.TSO && disable.TSO || s.o.USO && disable.USO {
			continue
		}
		if err := unix.IoctlSetInt(d.queues[0].fd, unix.TUNSETOFFLOAD, s.bits); err == nil {
			d.offloads = s.o
			break
		}
	}
	for _, q := range d.queues {
		q.can = d.offloads
	}
}

// quiet keeps the kernel from sending its own packets into the device (IPv6 autoconfiguration,
// multicast reports), and from sending redirects about it. It changes settings of this device only,
// before it is up. A failure does no harm and is logged.
func (d *Device) quiet(link netlink.Link) {
	const addrGenNone = 1 // IN6_ADDR_GEN_MODE_NONE
	if err := d.nl.LinkSetIP6AddrGenMode(link, addrGenNone); err != nil {
		d.log.Debug("tun: link-local address generation stays on", "device", d.name, "error", err)
	}
	if err := d.nl.LinkSetMulticastOff(link); err != nil {
		d.log.Debug("tun: multicast stays on", "device", d.name, "error", err)
	}
	for _, s := range []struct{ file, value string }{
		{"ipv6/conf/" + d.name + "/accept_ra", "0"},
		{"ipv6/conf/" + d.name + "/router_solicitations", "0"},
		{"ipv4/conf/" + d.name + "/send_redirects", "0"},
		// The check of decrypted packets against their SA's selectors (RFC 4301, Section 5.2) is
		// stricter than this filter.
		{"ipv4/conf/" + d.name + "/rp_filter", "0"},
	} {
		if err := os.WriteFile("/proc/sys/net/"+s.file, []byte(s.value), 0); err != nil {
			d.log.Debug("tun: device setting stays as it is", "setting", s.file, "error", err)
		}
	}
}

// Name returns the device's name, with the number that the kernel chose for a %d.
func (d *Device) Name() string { return d.name }

// Index returns the device's interface index.
func (d *Device) Index() int { return d.index }

// Offloads returns the offloads that are switched on.
func (d *Device) Offloads() gso.Offloads { return d.offloads }

// Queues returns the device's queues, one for each worker. The kernel sends a flow's packets to the
// queue that last wrote packets of the flow.
func (d *Device) Queues() []Queue {
	out := make([]Queue, len(d.queues))
	for i, q := range d.queues {
		out[i] = q
	}
	return out
}

// minIPv6MTU is the least MTU of IPv6 links (RFC 8200, Section 5).
const minIPv6MTU = 1280

// SetMTU sets the device's MTU. Below 1280 the kernel removes IPv6 from the device, and with it the
// IPv6 routes through it.
func (d *Device) SetMTU(mtu int) error {
	link, err := d.nl.LinkByName(d.name)
	if err != nil {
		return fmt.Errorf("tun: looking up %s: %w", d.name, err)
	}
	if err := d.nl.LinkSetMTU(link, mtu); err != nil {
		return fmt.Errorf("tun: setting the MTU of %s to %d: %w", d.name, mtu, err)
	}
	if mtu < minIPv6MTU {
		d.log.Warn("the MTU of the tun device is below the 1280 of IPv6 (RFC 8200): it carries no IPv6", "device", d.name, "mtu", mtu)
	}
	return nil
}

// Counters returns the device's counters, by their names in status and metrics: packets for the
// tunnels that the kernel dropped because the queue of a worker was full, and super-packets that
// the kernel refused. It returns nil if the device is gone.
func (d *Device) Counters() map[string]uint64 {
	link, err := d.nl.LinkByName(d.name)
	if err != nil || link.Attrs().Statistics == nil {
		return nil
	}
	return map[string]uint64{"tun_kernel_drops": link.Attrs().Statistics.TxDropped, "tun_gso_refused": d.gso.count.Load()}
}

// Close closes the queues. With the last one the kernel removes the device, its routes and
// addresses. It may be called more than once.
func (d *Device) Close() error {
	var errs []error
	for _, q := range d.queues {
		errs = append(errs, q.Close())
	}
	d.queues = nil
	if d.nl != nil {
		d.nl.Close()
		d.nl = nil
	}
	return errors.Join(errs...)
}
