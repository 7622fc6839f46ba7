package wire

import (
	"fmt"
	"strings"
)

// String returns the SPI as sixteen hexadecimal digits.
func (s SPI) String() string { return fmt.Sprintf("%016x", uint64(s)) }

// String returns the message on one line: "CREATE_CHILD_SA request 3 {SA, Nonce, KE(x25519), TSi,
// TSr, N(REKEY_SA)}". It has names and numbers only, none of the peer's octets.
func (m *Message) String() string {
	direction := "request"
	if m.Response {
		direction = "response"
	}
	return fmt.Sprintf("%v %s %d {%s}", m.Exchange, direction, m.MessageID, FormatPayloads(m.Payloads))
}

// FormatPayloads returns the payloads' names, separated by commas, as in Message.String.
func FormatPayloads(ps []Payload) string {
	words := make([]string, len(ps))
	for i, p := range ps {
		words[i] = formatPayload(p)
	}
	return strings.Join(words, ", ")
}

func formatPayload(p Payload) string {
	name := p.Type().String()
	switch p := p.(type) {
	case *KE:
		return name + "(" + GroupName(p.Group) + ")"
	case *Notify:
		return name + "(" + p.Kind.String() + ")"
	case *Delete:
		if p.Protocol == ProtoIKE {
			return name + "(IKE)"
		}
		return fmt.Sprintf("%s(%v x%d)", name, p.Protocol, len(p.SPIs))
	case *Configuration:
		return name + "(" + p.CFGType.String() + ")"
	case *EncryptedFragment:
		return fmt.Sprintf("%s(%d/%d)", name, p.Number, p.Total)
	case *Unknown:
		if p.Critical {
			return name + "!"
		}
	}
	return name
}
