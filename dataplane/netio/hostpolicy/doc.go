// Package hostpolicy finds out what of this host's policy packets of IP protocol 50 would miss if
// they passed by the IP stack: packet filters, IPsec policies of the kernel, programs of the
// daemon's cgroup, and what else looks at a device's packets.
//
// It says yes only to what it understands. A rule is harmless if it cannot match such a packet, or
// does nothing but accept it; a condition that depends on more than the protocol may hold or not.
package hostpolicy
