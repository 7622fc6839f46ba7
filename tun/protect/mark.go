package protect

import "fmt"

// Mark is a firewall mark (SO_MARK, fwmark): a packet has it if its mark under Mask is Value.
//
// It is on the packets that the tunnels themselves send, which so are told from what they protect.
type Mark struct{ Value, Mask uint32 }

// DefaultMark is clear of the bits that others claim: Kubernetes 0xc000, mwan3 0x3f00, Tailscale
// 0xff0000, Cilium 0x0f00 and 0xffff0000.
var DefaultMark = Mark{0x20, 0x60}

// Errors returns the mark by which ICMP errors about decrypted packets are led back to the device
// (RFC 4301, Section 6): the bits of Mask that Value lacks. It reports false if there are none.
func (m Mark) Errors() (Mark, bool) {
	v := m.Mask &^ m.Value
	return Mark{v, m.Mask}, v != 0
}

// String returns the mark as iptables and ip write it, 0x20/0x60.
func (m Mark) String() string { return fmt.Sprintf("%#x/%#x", m.Value, m.Mask) }
