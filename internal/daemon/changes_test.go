package daemon

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"culvert/internal/config"
)

// other returns a value of a type that is not its zero value.
func other(t *testing.T, typ reflect.Type) reflect.Value {
	t.Helper()
	if typ == reflect.TypeFor[netip.Addr]() {
		return reflect.ValueOf(netip.MustParseAddr("192.0.2.9"))
	}
	v := reflect.New(typ).Elem()
	switch typ.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(1)
	case reflect.String:
		v.SetString("x")
	case reflect.Slice:
		v.Set(reflect.MakeSlice(typ, 1, 1))
	case reflect.Struct:
		v.Field(0).Set(other(t, typ.Field(0).Type))
	default:
		t.Fatalf("a setting of type %v", typ)
	}
	return v
}

// Every setting of [daemon] that changes is either applied or reported to need a restart.
func TestEveryDaemonSettingIsReported(t *testing.T) {
	typ := reflect.TypeFor[config.Daemon]()
	for i := range typ.NumField() {
		before, next := &config.Config{}, &config.Config{}
		reflect.ValueOf(&next.Daemon).Elem().Field(i).Set(other(t, typ.Field(i).Type))
		got := changes(before, next)
		if len(got) != 1 {
			t.Errorf("%s: got %q, want one change", typ.Field(i).Name, got)
			continue
		}
		applied := typ.Field(i).Name == "Log" || typ.Field(i).Name == "Bypass"
		if restart := strings.Contains(got[0], "takes effect when the daemon is started again"); restart == applied {
			t.Errorf("%s: got %q", typ.Field(i).Name, got[0])
		}
	}
}

// Every setting of a peer that changes is reported. Those that no SA depends on leave the SAs in
// place.
func TestEveryPeerSettingIsReported(t *testing.T) {
	var fields []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[config.Peer]()) {
		switch f.Name {
		// The children have lines of their own; Credential and Transport are not settings.
		case "Peer", "Name", "Children", "Manual", "Order", "Routing", "Credential", "Transport":
			continue
		}
		fields = append(fields, f.Name)
		old, p := &config.Peer{}, &config.Peer{}
		reflect.ValueOf(p).Elem().FieldByIndex(f.Index).Set(other(t, f.Type))
		got := peerChange(old, p)
		closed := strings.Contains(got, "its SAs are closed and set up again")
		stay := slices.Contains([]string{"Remote", "RemoteName", "MTU", "RemotePort", "RemoteNATPort", "Proposals", "Lifetime", "DPD", "DPDAction", "Fragment", "OtherPSKs", "MaxParties"}, f.Name)
		if got == "" || closed == stay {
			t.Errorf("%s: got %q", f.Name, got)
		}
	}
	if len(fields) < 15 {
		t.Errorf("tried only %q", fields)
	}
	if got := peerChange(&config.Peer{}, &config.Peer{}); got != "" {
		t.Errorf("without a change: got %q", got)
	}
}

// A line names the first eight networks and counts the others.
func TestSome(t *testing.T) {
	var list []netip.Prefix
	for i := range 10 {
		list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i)}), 16))
	}
	for n, want := range map[int]string{
		0:  "",
		1:  "10.0.0.0/16",
		2:  "10.0.0.0/16, 10.1.0.0/16",
		8:  "10.7.0.0/16",
		9:  "10.7.0.0/16 and 1 more",
		10: "10.7.0.0/16 and 2 more",
	} {
		if got := some(list[:n]); got != want && (n < 8 || !strings.HasSuffix(got, ", "+want)) {
			t.Errorf("%d networks: got %q, want %q", n, got, want)
		}
	}
}
