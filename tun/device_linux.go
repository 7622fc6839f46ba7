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

// MaxQueues is how many queues a device can have: the kernel's MAX_TAP_QUEUES.
const MaxQueues = 256

// Device is a TUN device of this process. It is not persistent: it goes when it is closed or when the process dies.
// Its methods may be called from any goroutine, except that Close must wait until no worker uses a queue any more.
type Device struct {
	name     string
	index    int
	offloads gso.Offloads
	queues   []*queue
	gso      gsoRefusals
	nl       *netlink.Handle
	log      *slog.Logger
}

// Open makes the device in the calling thread's network namespace and sets it up, with as many offloads as the kernel has.
// The error says what is in the way and what mends it; nothing is left behind then.
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
	// A persistent device that allows several queues would be joined silently: two programs would share its packets.
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
	return fmt.Errorf("tun: a network device %q exists already: another culvert uses it, or it was left over by someone (ip link del %s removes it); or choose another name with [daemon] tun", name, name)
}

// openQueue opens one queue of the device called name, making the device if this is the first.
func openQueue(name string, multi, vnet bool) (*queue, string, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV):
		return nil, "", fmt.Errorf("tun: /dev/net/tun: %w: load the tun module (modprobe tun), or give the container the device (--device /dev/net/tun)", err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return nil, "", fmt.Errorf("tun: /dev/net/tun: %w: run as root, or allow this user (and this container) the device", err)
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

// setIff binds fd to the device, with a virtio-net header before each packet unless the kernel refuses that.
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

// The offload bits of TUNSETOFFLOAD, <linux/if_tun.h>; the USO ones are of Linux 6.2.
const (
	tunCsum   = 0x01
	tunTSO4   = 0x02
	tunTSO6   = 0x04
	tunTSOECN = 0x08
	tunUSO4   = 0x20
	tunUSO6   = 0x40
)

// offloadSteps are tried in this order until the kernel takes one.
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

// setOffloads turns on what the kernel has and the configuration allows. Offloads belong to the device: one queue's descriptor sets
// them for all.
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

// quiet keeps the kernel from sending packets of its own into the device (IPv6 autoconfiguration, multicast reports) and from
// advising hosts to go round it. It touches settings of this device only, before it is up. None of it is vital.
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
		// Decrypted packets are checked against their SA's selectors (RFC 4301, Section 5.2), which is stricter than this filter.
		{"ipv4/conf/" + d.name + "/rp_filter", "0"},
	} {
		if err := os.WriteFile("/proc/sys/net/"+s.file, []byte(s.value), 0); err != nil {
			d.log.Debug("tun: device setting stays as it is", "setting", s.file, "error", err)
		}
	}
}

// Name is the device's name, with the number that the kernel chose if it was asked to.
func (d *Device) Name() string { return d.name }

// Index is the device's interface index.
func (d *Device) Index() int { return d.index }

// Offloads says what the kernel lent.
func (d *Device) Offloads() gso.Offloads { return d.offloads }

// Queues are the device's queues, one for each worker. The kernel sends a flow's packets to the queue that last wrote that flow.
func (d *Device) Queues() []Queue {
	out := make([]Queue, len(d.queues))
	for i, q := range d.queues {
		out[i] = q
	}
	return out
}

// minIPv6MTU is the least MTU that IPv6 works on (RFC 8200, Section 5).
const minIPv6MTU = 1280

// SetMTU sets the device's MTU. Below 1280 the kernel takes IPv6 off the device, and with it the IPv6 routes through it.
func (d *Device) SetMTU(mtu int) error {
	link, err := d.nl.LinkByName(d.name)
	if err != nil {
		return fmt.Errorf("tun: looking up %s: %w", d.name, err)
	}
	if err := d.nl.LinkSetMTU(link, mtu); err != nil {
		return fmt.Errorf("tun: setting the MTU of %s to %d: %w", d.name, mtu, err)
	}
	if mtu < minIPv6MTU {
		d.log.Warn("tun MTU is too small for IPv6 (RFC 8200: at least 1280): no IPv6 through this device", "device", d.name, "mtu", mtu)
	}
	return nil
}

// Counters are what is counted of the device, by the names that status and metrics show: packets
// for the tunnels that the kernel dropped because the queues were full, which is where a worker
// drops that cannot keep up, and super-packets that the kernel would not take. Nil if the device
// is gone.
func (d *Device) Counters() map[string]uint64 {
	link, err := d.nl.LinkByName(d.name)
	if err != nil || link.Attrs().Statistics == nil {
		return nil
	}
	return map[string]uint64{"tun_kernel_drops": link.Attrs().Statistics.TxDropped, "tun_gso_refused": d.gso.count.Load()}
}

// Close closes the queues, and with the last one the kernel removes the device, its routes and addresses.
// It may be called more than once.
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
