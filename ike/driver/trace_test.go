package driver

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"culvert/ike"
	"culvert/ike/wire"
)

// Messages are traced at debug only, whatever their octets, and never with text from a stranger.
func TestTrace(t *testing.T) {
	var out bytes.Buffer
	level := new(slog.LevelVar)
	d := &Driver{cfg: Config{Log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level}))}}
	m := wire.Message{Header: wire.Header{InitiatorSPI: 1, ResponderSPI: 2, MajorVersion: 2, Exchange: wire.IKEAuth, MessageID: 7, Response: true}}
	raw := m.AppendTo(nil)
	d.trace("ike-received", overUDP, raw)
	if out.Len() != 0 {
		t.Errorf("at info: %s", &out)
	}
	level.Set(slog.LevelDebug)
	d.trace("ike-received", overUDP, raw)
	for _, want := range []string{`msg="IKE_AUTH response"`, "event=ike-received", "msgid=7", "remote=192.0.2.2:500", "ike_spi_i=0000000000000001"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s lacks %s", &out, want)
		}
	}
	for n := range raw {
		d.trace("ike-received", overUDP, raw[:n])
	}
	out.Reset()
	d.trace("ike-received", overUDP, []byte("\x1b[31m$(reboot)\nlevel=ERROR"))
	if strings.Contains(out.String(), "reboot") || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("a stranger's words are logged: %s", &out)
	}
}

// Every form of an IKE message is traced when it is sent, and a keepalive is not.
func TestTraceOfSends(t *testing.T) {
	var out bytes.Buffer
	d := &Driver{cfg: Config{
		Log:       slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Transport: &fakeTransport{journal: &journal{}},
	}}
	for name, tt := range map[string]struct {
		send ike.Send
		want int
	}{
		"whole":          {ike.Send{Path: overUDP}, 1},
		"don't fragment": {ike.Send{Path: overUDP, DontFragment: true}, 1},
		"in fragments":   {ike.Send{Path: overUDP, FragmentSize: 576}, 1},
		"keepalive":      {ike.Send{Path: overUDP, Keepalive: true}, 0},
	} {
		out.Reset()
		tt.send.Data = message(infoExchange, false, "")
		d.send(tt.send)
		if got := strings.Count(out.String(), "event=ike-sent"); got != tt.want {
			t.Errorf("%s: traced %d times, want %d:\n%s", name, got, tt.want, &out)
		}
	}
}
