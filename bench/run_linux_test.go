package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"culvert/internal/control"
	"culvert/internal/netlab"
)

// build builds a program and returns its path.
func build(t *testing.T, what ...string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "program")
	cmd := exec.Command("go", append([]string{"build", "-o", binary}, what...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building %v: %v\n%s", what, err, out)
	}
	return binary
}

// needNamespaces skips a test that needs namespaces where there are none. Under CI it fails.
func needNamespaces(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds programs and runs them in namespaces")
	}
	netlab.Require(t, netlab.Available())
}

// must fails the test on an error.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// children returns the running child processes of this one.
func children(t *testing.T) (out []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, _ := os.ReadFile(f) // it may have just ended
		_, rest, _ := strings.Cut(string(b), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == fmt.Sprint(os.Getpid()) {
			out = append(out, string(b))
		}
	}
	return out
}

// TestEverySubjectAndTest runs everything that is installed, with measurements too short to be
// useful.
func TestEverySubjectAndTest(t *testing.T) {
	needNamespaces(t)
	t.Setenv("TMPDIR", t.TempDir())
	culvert, floor := build(t, "culvert/cmd/culvert"), build(t, "-tags", "floor", "culvert/cmd/culvert")
	const cipher = "aes128gcm16"
	subjects := []Subject{WireGuardGo{Binary: build(t, "golang.zx2c4.com/wireguard")}, Culvert{Binary: culvert, UDP: true, Cipher: cipher}, Culvert{Binary: culvert, Cipher: cipher},
		Culvert{Binary: floor, UDP: true, Cipher: cipher, Floor: true}, OpenVPN{}, StrongSwan{cipher}, Plain{}, missing{}}
	var progress strings.Builder
	s := Settings{Rounds: 1, Time: 100 * time.Millisecond, Tests: "tcpboth,udp64,loaded"}
	doc, err := Run(t.Context(), s, subjects, &progress)
	if err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	if len(doc.Failures) > 0 || len(doc.Subjects)+len(doc.Absent) != len(subjects) {
		t.Errorf("%d present, %d absent, failures %v", len(doc.Subjects), len(doc.Absent), doc.Failures)
	}
	for _, a := range doc.Absent {
		if a.Subject != missingName && os.Getenv("CI") != "" {
			t.Errorf("%s is not here: %s", a.Subject, a.Reason)
		}
	}
	if !slices.ContainsFunc(doc.Absent, func(a Absent) bool { return a == Absent{missingName, "not here"} }) {
		t.Errorf("what is not there is not listed: %v", doc.Absent)
	}
	wantMeasured(t, doc)
	if left := children(t); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
	if files, err := os.ReadDir(os.TempDir()); err != nil || len(files) > 0 {
		t.Errorf("%v are left in the folder for temporary files (%v)", files, err)
	}
}

// wantMeasured wants a plausible figure for every test and every subject that is present.
func wantMeasured(t *testing.T, doc *Document) {
	t.Helper()
	want := map[string][]Metric{tcpBoth: {Throughput, VPNCPU, MachineCPU}, udp64: {PacketRate}, loaded: {P50, P99}, footprint: {FirstPacket, PeakMemory}}
	for _, subject := range doc.Subjects {
		for test, metrics := range want {
			values := find(t, doc.Summaries, test, subject.Subject).Values
			for _, m := range metrics {
				v, there := values[m.Key]
				plain := subject.Subject == (Plain{}).Name() && (m == VPNCPU || m == PeakMemory)
				// On a busy machine, its CPU time and the rate without loss may be 0.
				if there == plain || there && (v.Median < 0 || v.Median == 0 && m != MachineCPU && m != PacketRate) {
					t.Errorf("%s, %s: %s is %+v", subject.Subject, test, m.Key, v)
				}
			}
		}
	}
}

// TestLayouts: hosts behind the gateways, packet filters, and several tunnels with traffic on each,
// which is counted at the gateways.
func TestLayouts(t *testing.T) {
	needNamespaces(t)
	t.Setenv("TMPDIR", t.TempDir())
	culvert := build(t, "culvert/cmd/culvert")
	for tests, l := range map[string]Layout{"tcp8": {Link: LinkVeth, Forwarded: true, Firewall: true}, "tcp8,imix": {Peers: 3, CoreList: "1"}} {
		s := Settings{Rounds: 1, Time: 100 * time.Millisecond, Tests: tests, Layout: l}
		doc, err := Run(t.Context(), s, []Subject{Culvert{Binary: culvert, Cipher: "aes128gcm16"}, Plain{}}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if len(doc.Failures) > 0 || doc.Layout != l.String() {
			t.Errorf("%s: %v", doc.Layout, doc.Failures)
		}
		if absent := len(doc.Absent); absent != min(l.Peers, 1) {
			t.Errorf("%s: %d subjects are absent", doc.Layout, absent)
		}
		for _, k := range must(s.chosen())(t) {
			if s := find(t, doc.Summaries, k.name, "culvert, protocol 50"); s.Cores != len(l.CoreList) || len(s.Values) == 0 {
				t.Errorf("%s, %s: %+v", doc.Layout, k.name, s)
			}
		}
	}
}

func TestRemoteOf(t *testing.T) {
	seen := map[netip.Addr]bool{}
	for i := range MaxPeers {
		a := remoteOf(i)
		if last := a.As4()[3]; seen[a] || last == 0 || last == 255 || !netip.MustParsePrefix(rightNet).Contains(a) {
			t.Fatalf("tunnel %d has %s", i, a)
		}
		seen[a] = true
	}
	if remoteOf(0) != rightLAN {
		t.Errorf("the first tunnel has %s", remoteOf(0))
	}
}

// Datagrams and streams use every tunnel.
func TestEveryTunnelHasTraffic(t *testing.T) {
	needNamespaces(t)
	t.Setenv("TMPDIR", t.TempDir())
	culvert := build(t, "culvert/cmd/culvert")
	j, err := join(t.Context(), Culvert{Binary: culvert, Cipher: "aes128gcm16"}, Layout{Peers: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer j.close()
	path, err := j.datagrams()
	if err != nil {
		t.Fatal(err)
	}
	defer path.Close()
	if c, err := path.Run(t.Context(), 600, []int{64}, 500*time.Millisecond); err != nil || c.Received == 0 {
		t.Fatalf("%+v, %v", c, err)
	}
	out, err := j.Left.Run(t.Context(), nil, culvert, "status", "--json", "--control", filepath.Join(j.Dir, "left.sock"))
	if err != nil {
		t.Fatal(err)
	}
	var status control.Status
	if err := json.Unmarshal([]byte(out), &status); err != nil || len(status.Peers) != 3 {
		t.Fatalf("%v: %s", err, out)
	}
	for i, flow := range j.overAll(3) {
		if n := status.Peers[i].Children[0].PacketsOut; n < 20 || flow.Dst != remoteOf(i) {
			t.Errorf("tunnel %d carried %d packets; stream %d goes to %s", i, n, i, flow.Dst)
		}
	}
}

const missingName = "nobody's VPN"

// missing is an absent subject.
type missing struct{}

func (missing) Name() string                                           { return missingName }
func (missing) Version(context.Context) (string, error)                { return "", errors.New("not here") }
func (missing) Start(context.Context, Site) ([]*netlab.Process, error) { panic("not here") }

// dying is a subject whose process ends during a measurement.
type dying struct{ Plain }

func (dying) Name() string { return "dying" }
func (d dying) Start(ctx context.Context, s Site) ([]*netlab.Process, error) {
	if _, err := d.Plain.Start(ctx, s); err != nil {
		return nil, err
	}
	p, err := s.Left.Start(nil, nil, "sh", "-c", "echo the last words; sleep 0.2")
	return []*netlab.Process{p}, err
}

// broken is a subject that does not start.
type broken struct{}

func (broken) Name() string                            { return "broken" }
func (broken) Version(context.Context) (string, error) { return "0", nil }
func (broken) Start(context.Context, Site) ([]*netlab.Process, error) {
	return nil, errors.New("no way")
}

func TestFailuresAreRecordedAndTheOthersGoOn(t *testing.T) {
	needNamespaces(t)
	doc, err := Run(t.Context(), Settings{Rounds: 1, Time: 400 * time.Millisecond, Tests: "tcp1"}, []Subject{broken{}, dying{}, Plain{}}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	for _, f := range doc.Failures {
		fmt.Fprintln(&told, f.Subject, f.Test, f.Error)
	}
	for _, want := range []string{"broken  no way", "dying TCP, 1 stream ", "the last words"} {
		if !strings.Contains(told.String(), want) {
			t.Errorf("no %q in the failures:\n%s", want, told.String())
		}
	}
	if find(t, doc.Summaries, tcp1, "plain link").Values[Throughput.Key].Median <= 0 {
		t.Error("the plain link was not measured")
	}
}

// interrupter cancels a context at the progress of the first measurement.
type interrupter struct{ cancel context.CancelFunc }

func (i interrupter) Write(b []byte) (int, error) {
	if strings.Contains(string(b), " left: ") {
		i.cancel()
	}
	return len(b), nil
}

func TestAnInterruptKeepsWhatThereIs(t *testing.T) {
	needNamespaces(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begun := time.Now()
	doc, err := Run(ctx, Settings{Rounds: 1000, Time: 200 * time.Millisecond, Tests: "tcp1,idle"}, []Subject{Plain{}}, interrupter{cancel})
	if !errors.Is(err, context.Canceled) || doc == nil || !doc.Interrupted || len(doc.Measurements) != 1 || len(doc.Failures) != 0 {
		t.Errorf("got %+v, %v", doc, err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it ended after %v", took)
	}
	var out strings.Builder
	dir := t.TempDir()
	if err := errors.Join(doc.Text(&out), doc.Save(filepath.Join(dir, "x.json"), filepath.Join(dir, "x.svg"))); err != nil || !strings.Contains(out.String(), "interrupted") {
		t.Errorf("%v: %s", err, out.String())
	}
}
