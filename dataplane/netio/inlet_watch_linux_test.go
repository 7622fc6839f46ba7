package netio

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// A process that is killed leaves no program behind: the packets go to the socket that is opened
// next.
func TestKilledLeavesNothing(t *testing.T) {
	const child = "CULVERT_TEST_RING"
	if os.Getenv(child) != "" {
		n, err := Open(Config{IKEPort: 500, NATPort: 4500, Mark: testMark, RawESP: true, FastPath: true})
		if err != nil {
			t.Fatal(err)
		}
		for n.Live(1000); n.portOf(1000).ring.Load() == nil; time.Sleep(time.Millisecond) {
		}
		_, _ = os.Stdout.WriteString("ready\n")
		select {}
	}
	p := newPair(t, 1)
	p.netB.Close()
	cmd := exec.Command("/proc/self/exe", "-test.run=TestKilledLeavesNothing")
	cmd.Env = append(os.Environ(), child+"=1")
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		err = p.b.Do(cmd.Start)
	}
	if err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 64)
	if n, err := pipe.Read(line); err != nil || string(line[:n]) != "ready\n" {
		t.Fatalf("the other process says %q: %v", line[:n], err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	p.netB = openIn(t, p.b, Config{IKEPort: 500, NATPort: 4500, Mark: testMark, RawESP: true})
	out := Outgoing{Data: espPacket(1000, 100), Path: espPath(false, at(addrA[false], 0), at(addrB[false], 0))}
	if err := sendOne(p.netA.Ports()[0], &out); err != nil {
		t.Fatal(err)
	}
	recv(t, p.netB.Ports()[0], nil)
}

// TestBothDirectionsPassBy: packets are sent past the IP stack only while others are received past
// it at the same device.
func TestBothDirectionsPassBy(t *testing.T) {
	p := newPair(t, 1)
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
