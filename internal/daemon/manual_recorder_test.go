package daemon

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"culvert/esp"
	"culvert/internal/ipsec"
)

// keeping is a manualRecorder of a fake packet path. restart is what a kill and a start make of it.
type keeping struct {
	t    *testing.T
	dir  string
	path *fakeParts
	log  *bytes.Buffer
	now  time.Time
	id   ipsec.ChildID
	*manualRecorder
}

func newKeeping(t *testing.T) *keeping {
	k := &keeping{t: t, dir: filepath.Join(t.TempDir(), "state"), log: &bytes.Buffer{}, now: epoch}
	k.restart()
	return k
}

func (k *keeping) restart() {
	if k.manualRecorder != nil {
		k.state.close()
	}
	k.path = &fakeParts{sent: map[ipsec.ChildID]esp.State{}, allowed: map[ipsec.ChildID]uint64{}}
	state := &stateOpener{dir: k.dir}
	k.t.Cleanup(state.close)
	k.manualRecorder = newManualRecorder(state, k.path, slog.New(slog.NewTextHandler(k.log, nil)))
	k.manualRecorder.now = func() time.Time { return k.now }
}

func (k *keeping) file() string { return filepath.Join(k.dir, manualFile) }

// sa returns an SA pair that may be edited before it begins.
func (k *keeping) sa(edit func(*ipsec.ChildSA)) *ipsec.ChildSA {
	k.id++
	sa := &ipsec.ChildSA{ID: k.id, Name: ipsec.PolicyName{Peer: "a", Child: "lan"}, SPIIn: 0x2001, SPIOut: 0x1001, KeyIn: []byte("in"), KeyOut: []byte("out"), ReplayWindow: 64}
	if edit != nil {
		edit(sa)
	}
	return sa
}

// begin begins an SA, which must succeed.
func (k *keeping) begin(edit func(*ipsec.ChildSA)) *ipsec.ChildSA {
	k.t.Helper()
	sa := k.sa(edit)
	if err := k.manualRecorder.begin([]*ipsec.ChildSA{sa}); err != nil {
		k.t.Fatal(err)
	}
	k.path.mu.Lock()
	defer k.path.mu.Unlock()
	k.path.sent[sa.ID], k.path.allowed[sa.ID] = sa.State, sa.Allowed
	return sa
}

// use has an SA send up to a number, which must be allowed, and accept one.
func (k *keeping) use(sa *ipsec.ChildSA, sent, highest uint64) {
	k.t.Helper()
	k.path.mu.Lock()
	defer k.path.mu.Unlock()
	if sent > k.path.allowed[sa.ID] {
		k.t.Fatalf("%d is not allowed, only %d", sent, k.path.allowed[sa.ID])
	}
	k.path.sent[sa.ID] = esp.State{Sent: esp.Usage{Packets: sent}, Highest: highest}
}

// Whenever the daemon is killed, the next one begins beyond all numbers that were used, with the
// same IVs ahead of them, and what is allowed is on disk before.
func TestRecorderKilled(t *testing.T) {
	k := newKeeping(t)
	var start, used uint64
	for life := range 20 {
		sa := k.begin(nil)
		if sa.State.Sent.Packets < used || sa.Allowed < sa.State.Sent.Packets+leastAhead {
			t.Fatalf("life %d begins at %d, and may go to %d; used are %d", life, sa.State.Sent.Packets, sa.Allowed, used)
		}
		if life == 0 {
			start = sa.IVStart
		}
		if sa.IVStart != start {
			t.Fatalf("life %d has other IVs", life)
		}
		used = sa.State.Sent.Packets
		for range life {
			used = k.path.allowed[sa.ID]
			k.use(sa, used, 0)
			k.keep()
			if k.path.allowed[sa.ID] < used+leastAhead {
				t.Fatalf("allowed %d after %d", k.path.allowed[sa.ID], used)
			}
			disk, err := readManualFile(&stateDir{dir: k.dir})
			if err != nil || disk.sent[k.live[sa.ID].out].allowed != k.path.allowed[sa.ID] {
				t.Fatalf("on disk are %+v, %v; allowed %d", disk, err, k.path.allowed[sa.ID])
			}
		}
		k.restart()
	}
	if n := strings.Count(k.log.String(), "event=manual-sequence-new"); n != 1 {
		t.Errorf("%d times there was no record", n)
	}
}

// An ordered end leaves no gap, and nothing to replay.
func TestRecorderEnds(t *testing.T) {
	k := newKeeping(t)
	sa := k.begin(nil)
	k.use(sa, 1234, 99)
	k.finish()
	k.restart()
	k.finish() // without an SA
	if sa = k.begin(nil); sa.State.Sent.Packets != 1234 || sa.State.Highest != 99 {
		t.Errorf("got %+v", sa.State)
	}
}

// What was accepted is on record within topEvery.
func TestRecorderTop(t *testing.T) {
	k := newKeeping(t)
	sa := k.begin(nil)
	k.use(sa, 0, 7)
	for _, tt := range []struct {
		after time.Duration
		want  uint64
	}{{0, 0}, {topEvery - 1, 0}, {topEvery, 7}} {
		k.now = epoch.Add(tt.after)
		k.keep()
		disk, err := readManualFile(&stateDir{dir: k.dir})
		if err != nil || disk.top[k.live[sa.ID].in] != tt.want {
			t.Errorf("after %v: %+v, %v; want %d", tt.after, disk.top, err, tt.want)
		}
	}
	info, _ := os.Stat(k.file())
	k.now = k.now.Add(time.Hour)
	k.keep()
	if again, _ := os.Stat(k.file()); !os.SameFile(info, again) {
		t.Error("the file is written without a change")
	}
	k.restart()
	if sa = k.begin(nil); sa.State.Highest != 7 {
		t.Errorf("the window begins at %d", sa.State.Highest)
	}
	k.end(sa.ID, esp.State{Highest: 9}) // taken out
	k.restart()
	if sa = k.begin(func(sa *ipsec.ChildSA) { sa.Name.Child = "renamed" }); sa.State.Highest != 9 {
		t.Errorf("the window begins at %d", sa.State.Highest)
	}
}

// More is allowed, the faster an SA sends, and the file is not written for each look.
func TestRecorderFollowsTraffic(t *testing.T) {
	k := newKeeping(t)
	sa := k.begin(nil)
	writes, allowed := 0, sa.Allowed
	for look := range 100 {
		k.use(sa, uint64(look+1)*100_000, 0) // a million packets a second
		k.keep()
		if to := k.path.allowed[sa.ID]; to != allowed {
			writes, allowed = writes+1, to
		}
	}
	if writes < 5 || writes > 15 || allowed-10_000_000 > mostAhead {
		t.Errorf("%d writes, %d ahead", writes, allowed-10_000_000)
	}
}

// A number that cannot be put on record is not allowed. Once it can, all goes on.
func TestRecorderWithoutDisk(t *testing.T) {
	k := newKeeping(t)
	sa := k.begin(nil)
	k.use(sa, sa.Allowed, 0)
	if err := os.Rename(k.dir, k.dir+"2"); err != nil {
		t.Fatal(err)
	}
	k.keep()
	k.keep()
	if got := k.path.allowed[sa.ID]; got != sa.Allowed {
		t.Errorf("%d are allowed, on disk are %d", got, sa.Allowed)
	}
	if n := strings.Count(k.log.String(), "event=manual-sequence-failed"); n != 1 {
		t.Errorf("%d lines in the log", n)
	}
	if err := k.manualRecorder.begin([]*ipsec.ChildSA{k.sa(nil)}); err == nil || !strings.Contains(err.Error(), "cannot be kept") {
		t.Errorf("an SA begins: %v", err)
	}
	if err := k.manualRecorder.begin([]*ipsec.ChildSA{k.sa(func(sa *ipsec.ChildSA) { sa.SPIOut, sa.ReplayWindow = 0, 0 })}); err != nil {
		t.Errorf("an SA without anything to keep does not begin: %v", err)
	}
	if err := os.Rename(k.dir+"2", k.dir); err != nil {
		t.Fatal(err)
	}
	k.keep()
	if got := k.path.allowed[sa.ID]; got <= sa.Allowed {
		t.Errorf("%d are allowed", got)
	}
}

// An SA that was begun and not installed uses no numbers up.
func TestRecorderCancels(t *testing.T) {
	k := newKeeping(t)
	k.use(k.begin(nil), 5, 0)
	k.finish()
	k.restart()
	for range 3 {
		sa := k.begin(nil)
		if sa.State.Sent.Packets != 5 {
			t.Fatalf("it begins at %d", sa.State.Sent.Packets)
		}
		k.cancel(sa.ID)
	}
	k.cancel(99)
}

// The end of the numbers is told from a quarter on, at each half of what is left.
func TestRecorderWarns(t *testing.T) {
	k := newKeeping(t)
	sa := k.begin(nil)
	for _, tt := range []struct {
		left  uint64
		lines int
	}{{1 << 31, 0}, {1<<30 + 1, 0}, {1<<30 - 1, 1}, {1<<30 - 2, 1}, {1 << 28, 2}, {0, 3}} {
		k.path.sent[sa.ID] = esp.State{Sent: esp.Usage{Packets: math.MaxUint32 - tt.left}}
		k.keep()
		if n := strings.Count(k.log.String(), "event=manual-sequence-low"); n != tt.lines {
			t.Errorf("%d left: %d lines, want %d", tt.left, n, tt.lines)
		}
		if got := k.path.allowed[sa.ID]; got > math.MaxUint32 || tt.left < leastAhead && got != math.MaxUint32 {
			t.Errorf("%d left: %d are allowed", tt.left, got)
		}
	}
	k.restart()
	if sa = k.begin(nil); sa.State.Sent.Packets != math.MaxUint32 || sa.Allowed != math.MaxUint32 {
		t.Errorf("it begins at %d, up to %d", sa.State.Sent.Packets, sa.Allowed)
	}
	if sa = k.begin(func(sa *ipsec.ChildSA) { sa.ESN, sa.State.Sent.Packets = true, math.MaxUint64-5 }); sa.Allowed != math.MaxUint64 {
		t.Errorf("with extended ones up to %d", sa.Allowed)
	}
}

// run looks as long as there is an SA, and begins when one comes.
func TestRecorderRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeping(t)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); k.run(ctx) }()
		time.Sleep(time.Minute)
		sa := k.begin(nil)
		synctest.Wait()
		k.use(sa, sa.Allowed, 0)
		time.Sleep(2 * keepEvery)
		synctest.Wait()
		k.path.mu.Lock()
		if got := k.path.allowed[sa.ID]; got <= sa.Allowed {
			t.Errorf("%d are allowed", got)
		}
		k.path.mu.Unlock()
		cancel()
		<-done
	})
}

func TestAhead(t *testing.T) {
	for _, tt := range [][4]uint64{{0, 10, 100, 10}, {90, 10, 100, 100}, {91, 10, 100, 100}, {100, 10, 100, 100}, {200, 10, 100, 100}, {math.MaxUint64 - 3, 10, math.MaxUint64, math.MaxUint64}} {
		if got := ahead(tt[0], tt[1], tt[2]); got != tt[3] {
			t.Errorf("ahead%v = %d, want %d", fmt.Sprint(tt[:3]), got, tt[3])
		}
	}
}
