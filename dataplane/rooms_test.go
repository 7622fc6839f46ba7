package dataplane

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"culvert/dataplane/netio"
	"culvert/tun"
	"culvert/tun/gso"
)

// mostRooms is the most files of this package that a packet passes between the ends of a worker.
const mostRooms = 6

// roomsOf names a way for TestRoomsOfAPacket's second process, and the packets to send on it.
const roomsOf = "CULVERT_ROOMS_OF"

// TestRoomsOfAPacket counts the files of this package with code that runs once more for each packet
// more, while a worker runs one direction. It needs a build that counts:
//
//	CULVERT_MEASURE=1 go test -v -covermode=atomic -run RoomsOfAPacket ./dataplane
func TestRoomsOfAPacket(t *testing.T) {
	if way := os.Getenv(roomsOf); way != "" {
		carryAlong(t, way)
		return
	}
	if os.Getenv("CULVERT_MEASURE") == "" || testing.CoverMode() != "atomic" {
		t.Skip("needs CULVERT_MEASURE=1 and -covermode=atomic")
	}
	const few, more = 10, 200
	for _, way := range []string{"out small 1", "out small 2", "out super 1", "out super 2", "in small 1", "in small 2", "in super 1", "in super 2"} {
		before, after := runs(t, fmt.Sprint(way, " ", few)), runs(t, fmt.Sprint(way, " ", few+more))
		maps.DeleteFunc(after, func(file string, n int) bool { return n < before[file]+more })
		files := slices.Sorted(maps.Keys(after))
		t.Logf("%s worker(s): %d %v", way, len(files), files)
		if len(files) > mostRooms {
			t.Errorf("%s worker(s): %d files, at most %d", way, len(files), mostRooms)
		}
	}
}

// runs returns, for each file of this package, how often that block ran that ran most often, when a
// process of its own goes the way.
func runs(t *testing.T, way string) map[string]int {
	profile := filepath.Join(t.TempDir(), "cover")
	c := exec.Command(os.Args[0], "-test.run=^TestRoomsOfAPacket$", "-test.coverprofile="+profile)
	c.Env = append(os.Environ(), roomsOf+"="+way)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", way, err, out)
	}
	text, err := os.ReadFile(profile)
	if err != nil {
		t.Fatal(err)
	}
	most := map[string]int{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		var block string
		var statements, n int
		if _, err := fmt.Sscan(lines.Text(), &block, &statements, &n); err != nil {
			continue // the first line
		}
		file, _, _ := bytes.Cut([]byte(block), []byte(":"))
		if filepath.Dir(string(file)) == "culvert/dataplane" {
			name := filepath.Base(string(file))
			most[name] = max(most[name], n)
		}
	}
	return most
}

// carryAlong carries packets, one in each cycle, on the way named "out small 2 10": out or in,
// small packets or super-packets, the number of workers, and that of packets.
func carryAlong(t *testing.T, way string) {
	var direction, kind string
	var workers, n int
	if _, err := fmt.Sscan(way, &direction, &kind, &workers, &n); err != nil {
		t.Fatal(err)
	}
	e := &memoryEnds{}
	w := loopOf(t, workers, e, e)
	pkt := gso.Packet{Data: udpPacket(src4, dst4, true, make([]byte, 1200))}
	if kind == "super" {
		pkt = superPacket(src6, dst6, 1, make([]byte, 60000), 1300)
	}
	send := func() {
		e.in = &pkt
		if _, err := w.tx.drain(); err != nil {
			t.Fatal(err)
		}
		w.tx.sealBatch()
		w.tx.out.flush()
	}
	receive := func() {
		e.come = &netio.Received{Data: e.sent.Data, SegSize: e.sent.SegSize, Path: e.sent.Path}
		if _, err := w.rx.drain(); err != nil {
			t.Fatal(err)
		}
	}
	send()
	for range n {
		if direction == "out" {
			send()
		} else {
			receive()
		}
	}
	if direction == "out" && e.sends != n+1 || direction == "in" && e.writes < n {
		t.Fatalf("%d sends, %d writes of %d packets", e.sends, e.writes, n)
	}
}

// memoryEnds is a queue and a port in memory: one packet to read and one to receive.
type memoryEnds struct {
	still
	in            *gso.Packet
	come          *netio.Received
	sent          netio.Outgoing
	sends, writes int
}

func (e *memoryEnds) Read(buf []byte, headroom int, p *gso.Packet) error {
	if e.in == nil {
		return tun.ErrWouldBlock
	}
	*p, e.in = *e.in, nil
	p.Data = buf[headroom : headroom+copy(buf[headroom:], p.Data)]
	return nil
}

func (e *memoryEnds) Write(*gso.Packet, [][]byte) error {
	e.writes++
	return nil
}

func (e *memoryEnds) Recv(buf []byte, in *netio.Received) error {
	if e.come == nil {
		return netio.ErrWouldBlock
	}
	*in, e.come = *e.come, nil
	in.Data = buf[:copy(buf, in.Data)]
	return nil
}

func (e *memoryEnds) Send(outs []netio.Outgoing) {
	e.sends++
	e.sent = outs[0]
	e.sent.Data = bytes.Clone(outs[0].Data)
}
