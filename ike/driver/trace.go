package driver

import (
	"context"
	"log/slog"

	"culvert/ike/wire"
	"culvert/internal/ipsec"
)

// trace logs an IKE message at level debug, by the cleartext fields of its header and without the
// contents of SK{}. Nothing of it is checked yet: a message is logged whatever its fate. At other
// levels trace costs nothing.
func (d *Driver) trace(event string, p ipsec.Path, data []byte) {
	if !d.cfg.Log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{slog.String("event", event), slog.String("local", p.Local().String()), slog.String("remote", p.Remote().String()), slog.Int("octets", len(data))}
	h, err := wire.ParseHeader(data)
	if err != nil {
		d.cfg.Log.LogAttrs(context.Background(), slog.LevelDebug, "not an IKE message: "+err.Error(), attrs...)
		return
	}
	what := "request"
	if h.Response {
		what = "response"
	}
	attrs = append(attrs, slog.String("exchange", h.Exchange.String()), slog.Uint64("msgid", uint64(h.MessageID)),
		slog.String("ike_spi_i", h.InitiatorSPI.String()), slog.String("ike_spi_r", h.ResponderSPI.String()))
	d.cfg.Log.LogAttrs(context.Background(), slog.LevelDebug, h.Exchange.String()+" "+what, attrs...)
}
