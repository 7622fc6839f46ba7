package daemon

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"culvert/esp"
	"culvert/ike"
	"culvert/ike/driver"
	"culvert/ike/wire"
	"culvert/internal/ipsec"
	"culvert/internal/keylog"
)

func mustOpenKeys(t *testing.T, dir string, log *bytes.Buffer) *keyLog {
	t.Helper()
	k, err := openKeyLog(dir, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.close)
	return k
}

func readTable(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var shownKeys = ike.IKEKeys{SPIi: 1, SPIr: 2, Encr: wire.Transform{Type: wire.TransformENCR, ID: wire.EncrAESGCM16, KeyLength: 128}, Ei: []byte{0xe1}, Er: []byte{0xe2}}

// shownSA returns a Child SA pair with keys.
func shownSA() ipsec.ChildSA {
	return ipsec.ChildSA{
		SPIIn: 0x1001, SPIOut: 0x2001, KeyIn: []byte{0xa1}, KeyOut: []byte{0xa2}, Cipher: esp.Cipher{ID: esp.AESGCM16, KeyBits: 128},
		Path: ipsec.RawPath(netip.Addr{}, netip.MustParseAddr("192.0.2.2")),
	}
}

// installs counts the SAs that reach a packet path.
type installs struct {
	driver.Plane
	n int
}

func (p *installs) InstallInbound(ipsec.ChildSA) error { p.n++; return nil }

// Keys are appended to files that only their owner can read, and stay over a restart.
func TestKeyLog(t *testing.T) {
	dir, out := filepath.Join(t.TempDir(), "new", "keys"), &bytes.Buffer{}
	plane := &installs{}
	for range 2 {
		k := mustOpenKeys(t, dir, out)
		k.ike()(&shownKeys)
		if err := k.watch(plane).InstallInbound(shownSA()); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(k.buf[:cap(k.buf)], make([]byte, cap(k.buf))) {
			t.Error("keys stay in memory")
		}
		k.close()
	}
	if got := readTable(t, dir, keylog.IKETable); strings.Count(got, "\n") != 2 || !strings.HasPrefix(got, "0000000000000001,0000000000000002,e1,e2,") {
		t.Errorf("the table of IKE is %q", got)
	}
	if got := readTable(t, dir, keylog.ESPTable); strings.Count(got, "\n") != 4 || !strings.Contains(got, `"0x00001001"`) || !strings.Contains(got, `"0xa2"`) {
		t.Errorf("the table of ESP is %q", got)
	}
	if plane.n != 2 {
		t.Errorf("%d SAs were installed, want 2", plane.n)
	}
	for name, want := range map[string]os.FileMode{"": 0o700, keylog.IKETable: 0o600, keylog.ESPTable: 0o600, "preferences": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%q has mode %v, %v; want %v", name, info.Mode(), err, want)
		}
	}
	if out.Len() != 0 {
		t.Errorf("the log is %q", out)
	}
}

// A folder or file that others can write to or read is refused, and stays as it is.
func TestKeyLogIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(dir, file string) error
		want  string
	}{
		"readable by others": {func(_, file string) error { return os.Chmod(file, 0o640) }, "has mode 0640; run chmod 600"},
		"writable folder":    {func(dir, _ string) error { return os.Chmod(dir, 0o777) }, "has mode 0777"},
		"a link":             {func(_, file string) error { os.Rename(file, file+"2"); return os.Symlink(file+"2", file) }, "symbolic links"},
		"a directory":        {func(_, file string) error { os.Remove(file); return os.Mkdir(file, 0o700) }, "is a directory"},
		"a device":           {func(_, file string) error { os.Remove(file); return os.Link("/dev/null", file) }, ""},
		"a file as folder":   {func(dir, _ string) error { os.RemoveAll(dir); return os.WriteFile(dir, nil, 0o600) }, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, out := filepath.Join(t.TempDir(), "keys"), &bytes.Buffer{}
			mustOpenKeys(t, dir, out).close()
			if err := tt.spoil(dir, filepath.Join(dir, keylog.ESPTable)); err != nil {
				t.Skip(err)
			}
			if k, err := openKeyLog(dir, slog.Default()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("openKeyLog: %v, %v; want %q", k, err, tt.want)
			}
		})
	}
}

// A table that is full takes no more lines, which is logged once.
func TestKeyLogIsBounded(t *testing.T) {
	dir, out := t.TempDir(), &bytes.Buffer{}
	os.Chmod(dir, 0o700)
	k := mustOpenKeys(t, dir, out)
	if err := os.Truncate(filepath.Join(dir, keylog.IKETable), maxKeyTable-10); err != nil {
		t.Fatal(err)
	}
	k.ike()(&shownKeys)
	k.ike()(&shownKeys)
	if info, _ := os.Stat(filepath.Join(dir, keylog.IKETable)); info.Size() != maxKeyTable-10 {
		t.Errorf("the table has %d octets", info.Size())
	}
	if n := strings.Count(out.String(), "event=key-log-failed"); n != 1 || strings.Contains(out.String(), "e1,") {
		t.Errorf("the log is %q", out)
	}
}

// Without a key log nothing is in between.
func TestNoKeyLog(t *testing.T) {
	var k *keyLog
	p := &installs{}
	if k.ike() != nil || k.watch(p) != driver.Plane(p) || k.folder() != "" {
		t.Error("a daemon without a key log shows keys")
	}
	sa := shownSA()
	k.writeESP(&sa)
	k.close()
}
