// Package guard enforces the policies in the kernel, by nftables: a protected flow leaves through
// the device or not at all, and is accepted only from the device (RFC 4301, Section 5.2, step 3b).
// Routes bring packets to the device; the guard covers the cases in which they fail: a route that
// was removed or overridden, a device that is gone, NAT, a socket bound to another device, a packet
// that arrives in the clear. Its table outlives the daemon and stays until Release.
//
// The table, of family inet, is "culvert-DEVICE" or "culvert-DEVICE/2":
//
//	prerouting  -450, before defrag ┐ inbound:  from the device, lo: accepted
//	prerouting   -90, after DNAT    ┘           remote -> local: dropped, except the tunnels'
//	                                            own IKE, ESP; ICMP errors about bypassed flows
//	output       200, type route      errors:   ICMP that quotes remote -> local: marked
//	                                            (Mark.Errors)
//	postrouting   90, before SNAT   ┐ outbound: by the device, lo, with our mark: accepted
//	postrouting  last, after SNAT   ┘           ICMP that quotes remote -> local: dropped
//	                                            local -> remote: dropped
//
// An inbound packet is looked up only if its destination is in one of at most two prefixes that
// contain all local networks. A look-up has two steps. A verdict map, one for each purpose and
// family, leads from an interval of local addresses to a chain; the chain looks for the remote
// address in the sets of the groups (package protect) with these local addresses. Both are sets of
// intervals: a packet costs two searches in trees, and a change of the policies touches only the
// elements that differ. A group of very many networks has several sets; bounds in the rules choose
// one of them.
//
// Drops are counted by direction, and for the first policies of the configuration also by policy.
// The policy is looked up after the verdict, in maps that have no effect on it
// (counters_policy_linux.go).
//
// A new table, at a start or after another program changed the old one, takes the free name. The
// old one is deleted when every packet passes the new one. One transaction that replaces the table
// would not be enough: a packet that found the hooks before the transaction runs through the old
// chains, which are empty after it.
package guard

import (
	"log/slog"
	"net/netip"

	"culvert/tun/protect"
)

// Config holds the settings of a guard.
type Config struct {
	Device string       // the name of the TUN device, which need not exist
	Mark   protect.Mark // of the tunnels' own packets
	Ports  []uint16     // the local UDP ports to which peers send
	Log    *slog.Logger // nil: no log

	chunk int // initial number of intervals in a set; 0: defaultChunk

	trial    *trial // of Probe; nil: the fields below are not set
	sockets  bool   // the kernel can match the mark of the socket that receives a packet
	byPolicy bool   // drops are also counted by policy
}

// Stats holds the guard's counters since its table was first installed, over restarts of the
// daemon.
type Stats struct {
	Out     uint64 // dropped packets of protected flows that would have left in the clear
	In      uint64 // dropped packets of protected flows that arrived in the clear
	ICMP    uint64 // dropped ICMP errors that would have left with a decrypted packet in them
	Repairs uint64 // by this Guard: restorations of the table after another program changed it
}

// Drops holds the part of Stats that belongs to one policy.
type Drops struct{ Out, In uint64 }

// Opened holds the networks between which a released guard dropped traffic.
type Opened struct{ Local, Remote []netip.Prefix }

const (
	// tablePrefix is the prefix of the tables' names.
	tablePrefix = "culvert-"
	// second is the suffix of the second name. Names of devices contain no slash.
	second = "/2"
)

// Tables returns the names of the tables that a guard of a device may have, in the family inet.
// They accept what is sent with the mark, and what comes to the daemon's ports or as ESP.
func Tables(device string) []string {
	names := tableNames(device)
	return names[:]
}

// tableNames returns the two names of a device's table.
func tableNames(device string) [2]string {
	return [2]string{tablePrefix + device, tablePrefix + device + second}
}
