package netio

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// FastPath says how packets of IP protocol 50 come, and how they are sent: "off", "idle" before
// there are any, "on" and the devices, or "socket" and the reason.
type FastPath struct{ In, Out string }

// FastPath returns the state of both directions.
func (n *Net) FastPath() FastPath {
	i := n.inlet
	if i == nil {
		return FastPath{"off", "off"}
	}
	i.mu.Lock()
	in, out, devices, takes := i.inWords(), i.out, maps.Clone(i.devices), i.table != nil
	i.mu.Unlock()
	switch {
	case n.hops == nil:
		return FastPath{in, "socket: " + why(n.direct)}
	case out != nil:
		return FastPath{in, "socket: " + why(out)}
	case !takes:
		return FastPath{in, "idle"}
	}
	return FastPath{in, n.hops.words(devices)}
}

// inWords says how packets come. i.mu is held.
func (i *inlet) inWords() string {
	switch {
	case i.in != nil:
		return "socket: " + why(i.in)
	case !i.begun:
		return "idle"
	case len(i.devices) == 0 && i.skipped != "":
		return "socket: " + i.skipped
	case len(i.devices) == 0:
		return "socket: no Ethernet device with an address of ours and an MTU that fits"
	case i.table == nil:
		return "socket: the workers are held up"
	}
	words := "on: " + strings.Join(slices.Sorted(maps.Values(i.devices)), ",") + " by " + i.by
	if i.skipped != "" {
		words += "; socket: " + i.skipped
	}
	return words
}

// why returns a reason in words.
func why(err error) string {
	var refusal *ebpf.VerifierError
	switch {
	case errors.As(err, &refusal): // by EACCES as well
		return fmt.Sprint("the kernel's verifier refuses it: ", err)
	case errors.Is(err, ebpf.ErrNotSupported), errors.Is(err, unix.ENOSYS):
		return "this kernel has no programs at devices (Linux 5.12 has them, with clsact and cls_bpf)"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return "programs at devices need CAP_BPF and CAP_NET_ADMIN"
	}
	return fmt.Sprint(err)
}

// inletWords is what was logged last.
type inletWords struct {
	in, out string
	at      time.Time
}

// tellLeast is the least time between two log lines, and the one that is due is written by the next
// call after it.
const tellLeast = 10 * time.Second

// tell logs how packets come and leave, when that has changed.
func (i *inlet) tell() {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := inletWords{at: time.Now()}
	for _, w := range []struct {
		to  *string
		err error
	}{{&now.in, i.in}, {&now.out, i.out}} {
		if *w.to = "past the IP stack"; w.err != nil {
			*w.to = "by the raw socket: " + why(w.err)
		}
	}
	if now.in == i.told.in && now.out == i.told.out || now.at.Sub(i.told.at) < tellLeast {
		return
	}
	i.told = now
	i.net.log.Info("ESP as IP protocol 50", slog.String("event", "fast-path"), slog.String("received", now.in), slog.String("sent", now.out))
}

// full returns the number of packets that found a ring full.
func (i *inlet) full() (n uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	n = i.lost
	for _, p := range i.net.ports {
		if r := p.ring.Load(); r != nil {
			n += r.full()
		}
	}
	return n
}
