package protect

import "fmt"

// A Mark is a firewall mark (SO_MARK, fwmark): a packet has it if its mark under Mask is Value.
//
// The tunnels' own packets carry it, which distinguishes them from the traffic they protect.
type Mark struct{ Value, Mask uint32 }

// DefaultMark avoids the bits that other programs use: Kubernetes 0xc000, mwan3 0x3f00, Tailscale
// 0xff0000, Cilium 0x0f00 and 0xffff0000.
var DefaultMark = Mark{0x20, 0x60}

// Errors returns the mark by which ICMP errors about decrypted packets are routed back to the
// device (RFC 4301, Section 6): the bits of Mask that Value lacks. It reports false if there are
// none.
func (m Mark) Errors() (Mark, bool) {
	v := m.Mask &^ m.Value
	return Mark{v, m.Mask}, v != 0
}

// String returns the mark in the notation of iptables and ip, such as 0x20/0x60.
func (m Mark) String() string { return fmt.Sprintf("%#x/%#x", m.Value, m.Mask) }
