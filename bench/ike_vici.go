package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// A vici speaks to strongSwan's control socket: packets of four octets of length, a type, and, in a
// request, a name; then a message of elements.
type vici struct{ net.Conn }

// Types of packets and elements of VICI that are used here.
const (
	viciRequest  = 0
	viciResponse = 1
	viciKeyValue = 3
)

// mostVICI bounds the octets of a packet.
const mostVICI = 1 << 20

func dialVICI(socket string) (vici, error) {
	c, err := net.Dial("unix", socket)
	return vici{c}, err
}

// call sends a command with keys and values, and returns those of the answer that are at its top.
func (v vici) call(command string, values ...[2]string) (map[string]string, error) {
	packet := append([]byte{viciRequest, byte(len(command))}, command...)
	for _, kv := range values {
		packet = append(packet, viciKeyValue, byte(len(kv[0])))
		packet = append(packet, kv[0]...)
		packet = binary.BigEndian.AppendUint16(packet, uint16(len(kv[1])))
		packet = append(packet, kv[1]...)
	}
	if _, err := v.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(packet))), packet...)); err != nil {
		return nil, err
	}
	var length [4]byte
	if _, err := io.ReadFull(v, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n == 0 || n > mostVICI {
		return nil, fmt.Errorf("strongSwan's control socket: a packet of %d octets", n)
	}
	answer := make([]byte, n)
	if _, err := io.ReadFull(v, answer); err != nil {
		return nil, err
	}
	if answer[0] != viciResponse {
		return nil, fmt.Errorf("strongSwan's control socket: a packet of type %d in answer to %s", answer[0], command)
	}
	return readVICI(answer[1:])
}

var errVICI = errors.New("strongSwan's control socket: a message that cannot be read")

// readVICI returns the keys and values of a message up to its first section or list.
func readVICI(b []byte) (map[string]string, error) {
	values := map[string]string{}
	for len(b) > 0 && b[0] == viciKeyValue {
		if len(b) < 2 || len(b) < 2+int(b[1])+2 {
			return nil, errVICI
		}
		key, rest := string(b[2:2+int(b[1])]), b[2+int(b[1]):]
		n := int(binary.BigEndian.Uint16(rest))
		if rest = rest[2:]; len(rest) < n {
			return nil, errVICI
		}
		values[key], b = string(rest[:n]), rest[n:]
	}
	return values, nil
}
