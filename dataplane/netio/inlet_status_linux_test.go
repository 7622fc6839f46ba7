package netio

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWithoutCapability: without the right to load programs everything works by the socket, and the
// status says why.
func TestWithoutCapability(t *testing.T) {
	if b, _ := os.ReadFile("/proc/sys/kernel/unprivileged_bpf_disabled"); strings.TrimSpace(string(b)) == "0" {
		t.Skip("everybody may make maps here")
	}
	p := newPair(t, 1)
	p.netB.Close()
	open := func() (err error) {
		p.netB, err = Open(Config{IKEPort: 500, NATPort: 4500, Mark: testMark, RawESP: true, FastPath: true})
		return err
	}
	if err := p.b.Do(func() error {
		return without(unix.CAP_BPF, func() error { return without(unix.CAP_SYS_ADMIN, open) })
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.netB.Close() })
	p.netB.Live(1000)
	p.becomes(t, "socket: programs at devices need CAP_BPF and CAP_NET_ADMIN")
	out := Outgoing{Data: espPacket(1000, 100), Path: espPath(false, at(addrA[false], 0), at(addrB[false], 0))}
	if err := sendOne(p.netA.Ports()[0], &out); err != nil {
		t.Fatal(err)
	}
	if in := recv(t, p.netB.Ports()[0], nil); len(in.Data) != 100 || p.netB.Counters()["net_ring"] != 0 {
		t.Errorf("%d octets came", len(in.Data))
	}
}

// TestFastPathIsTold: a change is logged once with its reason, and one that comes soon after
// another when that was a while ago.
func TestFastPathIsTold(t *testing.T) {
	var log lines
	i := &inlet{net: &Net{log: slog.New(slog.NewTextHandler(&log, nil))}}
	i.tell()
	i.tell()
	if log.count("received=\"past the IP stack\"", "sent=\"past the IP stack\"") != 1 {
		t.Errorf("told\n%s", log.text.String())
	}
	i.out = errors.New("a rule")
	if i.tell(); log.count("a rule") != 0 {
		t.Error("a change is told at once after another")
	}
	i.told.at = i.told.at.Add(-tellLeast)
	i.tell()
	i.tell()
	if log.count("received=\"past the IP stack\"", "sent=\"by the raw socket: a rule\"") != 1 {
		t.Errorf("told\n%s", log.text.String())
	}
}
