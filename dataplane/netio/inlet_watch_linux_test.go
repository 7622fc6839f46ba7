package netio

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"culvert/dataplane/netio/clsact"
	"culvert/internal/netlab"
)

// The process that TestKilledLeavesNothing kills: it tells the IDs of its program and of a map.
const killedChild = "CULVERT_TEST_RING"

func beKilled(t *testing.T) {
	n, err := Open(ringConfig(1, os.Getenv(killedChild) == "true"))
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for n.Live(1000); n.portOf(1000).ring.Load() == nil || n.FastPath().In[:2] != "on"; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the fast path is %q", n.FastPath())
		}
	}
	info, err := n.inlet.maps.known.Info()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := info.ID()
	fmt.Println(n.inlet.maps.id, id)
	select {}
}

// TestKilledLeavesNothing: with a process that is killed end its program and maps, without delay:
// packets go to the socket that is opened next. A filter of clsact stays, and the next process
// removes it, also one without the fast path.
func TestKilledLeavesNothing(t *testing.T) {
	if os.Getenv(killedChild) != "" {
		beKilled(t)
	}
	netlab.Need(t)
	needPrograms(t)
	byEachHook(t, func(t *testing.T, noTCX bool) {
		p := newPair(t, 1)
		p.netB.Close()
		cmd := exec.Command("/proc/self/exe", "-test.run=TestKilledLeavesNothing")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%t", killedChild, noTCX))
		pipe, err := cmd.StdoutPipe()
		if err == nil {
			err = p.b.Do(cmd.Start)
		}
		if err != nil {
			t.Fatal(err)
		}
		var program ebpf.ProgramID
		var spis ebpf.MapID
		if _, err := fmt.Fscan(pipe, &program, &spis); err != nil {
			t.Fatal(err)
		}
		out := Outgoing{Data: espPacket(1000, 100), Path: espPath(false, at(addrA[false], 0), at(addrB[false], 0))}
		if err := errors.Join(sendOne(p.netA.Ports()[0], &out), cmd.Process.Kill()); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		until(t, "the end of the program and of its maps", func() bool {
			prog, noProgram := ebpf.NewProgramFromID(program)
			m, noMap := ebpf.NewMapFromID(spis)
			if noProgram == nil {
				prog.Close()
			}
			if noMap == nil {
				m.Close()
			}
			return errors.Is(noProgram, os.ErrNotExist) && errors.Is(noMap, os.ErrNotExist)
		})
		p.netB = openIn(t, p.b, Config{IKEPort: 500, NATPort: 4500, Mark: testMark, RawESP: true, Owner: "test0"})
		if err := sendOne(p.netA.Ports()[0], &out); err != nil {
			t.Fatal(err)
		}
		recv(t, p.netB.Ports()[0], nil)
		if err := p.b.Do(func() error {
			places, err := clsact.Places()
			if len(places) > 0 {
				t.Errorf("filters of tc stay: %+v", places)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	})
}

// TestBothDirectionsPassBy: packets are sent past the IP stack only while others are received past
// it at the same device.
func TestBothDirectionsPassBy(t *testing.T) {
	p := newPair(t, 1)
	needPrograms(t)
	p.netA.Close()
	p.netA = openIn(t, p.a, Config{IKEPort: 500, NATPort: 4500, Workers: 1, Mark: testMark, RawESP: true, FastPath: true})
	mustNotGoDirect(t, p.netA, espOut(false, 100))
	if got := p.netA.FastPath(); got.Out != "idle" {
		t.Errorf("before the first SA they are sent: %s", got.Out)
	}
	p.netA.Live(1000)
	mustGoDirect(t, p.netA, espOut(false, 100))
	setMTU(t, p.a, maxRingMTU+1)
	mustNotGoDirect(t, p.netA, espOut(false, 100))
	setMTU(t, p.a, 1500)
	mustGoDirect(t, p.netA, espOut(false, 100))
	p.netA.hops.mu.Lock()
	defer p.netA.hops.mu.Unlock()
	if p.netA.inlet.takesAt(999) || (*inlet)(nil).takesAt(linkIndex(t, p, "nn0")) {
		t.Error("packets are taken at a device that there is not, or by an inlet that there is not")
	}
}
