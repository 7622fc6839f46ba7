// Package guard keeps in the kernel, by nftables, what a VPN promises: a flow that a policy
// protects leaves through the device or not at all, and is believed only if it came from there (RFC
// 4301, Section 5.2, step 3b). Routes bring packets to the device; the guard stands where they
// fail: a route removed or put in front, the device gone, NAT, a socket bound to a device, a packet
// that arrives in plain. The daemon's end does not end it: its table stays until Release.
//
// The table, of family inet, is "culvert-DEVICE" or "culvert-DEVICE/2":
//
//	prerouting  -450, before defrag    ┐ inbound:  from the device, lo: pass
//	prerouting   -90, after DNAT       ┘           remote -> local: dropped, unless it is our own IKE, ESP, or
//	                                               an ICMP error that quotes local -> bypassed
//	output       200, type route         errors:   ICMP that quotes remote -> local: marked (Mark.Errors)
//	postrouting   90, before SNAT      ┐ outbound: by the device, lo, with our mark: pass
//	postrouting  last, after SNAT      ┘           ICMP that quotes remote -> local: dropped
//	                                               local -> remote: dropped
//
// What arrives is looked up only if its destination is in one of two prefixes, at most, which hold
// all local networks. A look-up has two steps. A verdict map, per purpose and family, leads an interval of local
// addresses to a chain; the chain asks the sets of the groups (package protect) that have these
// local addresses for the other end. Both are sets of intervals: the cost of a packet is that of
// two searches in trees, and a change of the policies touches only the elements that differ. A
// group of very many networks has several sets, of which the bounds in the rules choose one.
//
// What is dropped is counted by direction, and, for the first policies of the configuration, by
// policy. The latter is looked up after the verdict, in maps that decide nothing (counters_policy_linux.go).
//
// A table that is put up afresh, at a start or after somebody meddled with it, takes the name that
// is free. The old one goes when every packet sees the new one. (To replace a table in one
// transaction is not enough: a packet that found the hooks before the transaction is judged by the
// old chains, which after it have no rules.)
package guard

import (
	"log/slog"
	"net/netip"

	"culvert/tun/protect"
)

// Config is what a guard is told besides the flows.
type Config struct {
	Device string       // the name of the TUN device, which need not exist
	Mark   protect.Mark // on what the tunnels send
	Ports  []uint16     // the UDP ports of ours to which peers send
	Log    *slog.Logger // nil: none

	chunk int // how many intervals a set begins with; 0: as many as is good

	sockets  bool // the kernel can tell the mark of the socket that a packet is for
	byPolicy bool // drops are also counted by policy
}

// Stats is what the guard has counted since its table was first put up, over restarts of the
// daemon.
type Stats struct {
	Out     uint64 // packets of protected flows that would have left in plain
	In      uint64 // packets that arrived in plain although they must come from the device
	ICMP    uint64 // ICMP errors that would have left with a decrypted packet in them
	Repairs uint64 // by this Guard: how often somebody changed the table and it was put back
}

// Drops is what the guard has counted of Stats for a policy.
type Drops struct{ Out, In uint64 }

// Opened is what a guard that was released held back: traffic between local and remote networks.
type Opened struct{ Local, Remote []netip.Prefix }

const (
	// tablePrefix begins the names of tables.
	tablePrefix = "culvert-"
	// second ends the second name. No device has a slash in its name.
	second = "/2"
)

// tableNames returns the two names of a device's table.
func tableNames(device string) [2]string {
	return [2]string{tablePrefix + device, tablePrefix + device + second}
}
