//go:build linux

package e2e

import (
	"bufio"
	enc "encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"culvert/internal/netlab"
)

// A capture is a pcap file of a device.
type capture struct {
	path string
	stop func()
}

// capture writes every frame of a host's device to a pcap file.
func (n *network) capture(t *testing.T, h *netlab.Host, dev string) *capture {
	t.Helper()
	c := &capture{path: filepath.Join(t.TempDir(), "capture.pcap")}
	f, err := os.Create(c.path)
	ok(t, err)
	w := bufio.NewWriter(f)
	// Magic number, version 2.4, time zone, accuracy, snapshot length, Ethernet.
	header := enc.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	header = enc.LittleEndian.AppendUint16(header, 2)
	header = enc.LittleEndian.AppendUint16(header, 4)
	for _, v := range []uint32{0, 0, 1 << 17, 1} {
		header = enc.LittleEndian.AppendUint32(header, v)
	}
	_, err = w.Write(header)
	ok(t, err)
	sniffer, err := h.Sniff(dev, func(frame []byte) {
		var b []byte
		now := time.Now()
		for _, v := range []uint32{uint32(now.Unix()), uint32(now.Nanosecond() / 1000), uint32(len(frame)), uint32(len(frame))} {
			b = enc.LittleEndian.AppendUint32(b, v)
		}
		_, _ = w.Write(append(b, frame...)) // Flush has the error
	})
	ok(t, err)
	c.stop = sync.OnceFunc(func() {
		if lost := sniffer.Sync(); lost > 0 {
			t.Errorf("the capture lacks %d frames", lost)
		}
		sniffer.Stop()
		ok(t, w.Flush(), f.Close())
	})
	return c
}

// decrypt returns fields of the packets that a filter of Wireshark's matches, a line for each, read
// with the keys in a folder.
func (c *capture) decrypt(t *testing.T, keys, filter string, fields ...string) [][]string {
	t.Helper()
	args := []string{"-r", c.path, "-Y", filter, "-T", "fields", "-E", "separator=|"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	cmd := exec.Command("tshark", args...)
	cmd.Env = append(os.Environ(), "WIRESHARK_CONFIG_DIR="+keys)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil || strings.Contains(errs.String(), "table") {
		t.Fatalf("tshark: %v\n%s", err, errs.String())
	}
	var list [][]string
	for line := range strings.Lines(string(out)) {
		list = append(list, strings.Split(strings.TrimSuffix(line, "\n"), "|"))
	}
	return list
}

// TestKeyLog decrypts a capture of IKE and ESP by Wireshark with the keys of one gateway, while IKE
// SAs and Child SAs are rekeyed from both sides: no message and no packet remains closed.
func TestKeyLog(t *testing.T) {
	_, err := exec.LookPath("tshark")
	netlab.Require(t, err)
	for _, tt := range []struct{ name, remote, keys, cipher string }{
		{"UDP", "192.0.2.2", "encap = \"always\"\nike_proposals = [\"aes256gcm16-prfsha384-x25519\"]\n", "aes256gcm16"},
		{"protocol 50", "2001:db8::2", protocol50 + "ike_proposals = [\"aes128-sha256-ecp256\"]\n", "aes128-sha256"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := build(t, topology{})
			c := n.capture(t, n.right, "wan")
			left, right := newGateway(t, n.left), newGateway(t, n.right)
			keys := filepath.Join(left.dir, "keys")
			right.daemon = "offloads = \"none\"\n" // a frame of the capture is a packet
			left.daemon = right.daemon + "key_log = \"" + keys + "\"\n"
			right.start(peerText("left", identities("right", "left")+tt.keys, rightChildren("")...))
			// Debian's Wireshark 4.0 has no extended sequence numbers.
			left.start(peerText("right", "remote = \""+tt.remote+"\"\n"+identities("left", "right")+tt.keys, leftChildren(boot+"\n  esn = \"never\"\n  proposals = [\""+tt.cipher+"\"]")...))
			left.waitUp("right")
			n.wantPing(t, 5*time.Second)
			for _, rekey := range []struct {
				by   *gateway
				what string
			}{{left, "right/v4"}, {right, "left"}, {left, "right"}, {right, "left/v4"}} {
				rekey.by.do("rekey", rekey.what)
				n.wantPing(t, 5*time.Second)
			}
			left.stop()
			c.stop()
			c.wantIKE(t, keys)
			c.wantESP(t, keys)
			if !strings.Contains(left.proc.Output(), "key_log: the keys of all IKE SAs") {
				t.Error("the log does not warn")
			}
		})
	}
}

// wantIKE has the payloads of all IKE messages under protection readable, and their ICVs right.
func (c *capture) wantIKE(t *testing.T, keys string) {
	t.Helper()
	sas := map[string]int{}
	auth, rekeys := 0, 0
	for _, m := range c.decrypt(t, keys, "isakmp && isakmp.exchangetype != 34", "isakmp.ispi", "isakmp.exchangetype", "isakmp.enc.decrypted", "isakmp.typepayload", "_ws.expert.message") {
		spi, exchange, plain, payloads, expert := m[0], m[1], m[2], m[3], m[4]
		sas[spi]++
		if plain == "" || expert != "" {
			t.Errorf("a message of exchange %s remains closed: payloads %s, %s", exchange, payloads, expert)
		}
		if exchange == "35" && strings.Contains(payloads, "39") {
			auth++ // AUTH can be read
		}
		if exchange == "36" && strings.Contains(payloads, "33") {
			rekeys++
		}
	}
	if len(sas) != 3 || auth != 2 || rekeys < 8 {
		t.Errorf("%d IKE SAs with %d IKE_AUTH and %d CREATE_CHILD_SA messages were read; want 3, 2 and 8", len(sas), auth, rekeys)
	}
}

// wantESP has all packets readable, and their ICVs right.
func (c *capture) wantESP(t *testing.T, keys string) {
	t.Helper()
	spis, echoes := map[string]int{}, 0
	for _, p := range c.decrypt(t, keys, "esp", "frame.number", "esp.spi", "esp.icv_good", "esp.protocol", "icmp.type") {
		frame, spi, good, next, echo := p[0], p[1], p[2], p[3], p[4]
		spis[spi]++
		if good != "1" && good != "True" {
			t.Errorf("frame %s, of SPI %s, remains closed: ICV good %q", frame, spi, good)
		}
		if next == "0x04" && echo != "" { // the others are dummy packets, as of the search for the path's MTU
			echoes++
		}
	}
	if len(spis) < 6 || echoes < 20 {
		t.Errorf("packets of %d SPIs with %d echoes were read; want 6 and 20", len(spis), echoes)
	}
}
