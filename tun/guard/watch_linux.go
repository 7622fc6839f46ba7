package guard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	// lookEvery is how often the table is looked at without an occasion.
	lookEvery = time.Minute
	// logEvery is how often repairs are logged at most.
	logEvery = time.Minute
	// The least and the longest pause after a repair; in between, as long as it took: whoever
	// fights with us for the table gets half a processor of ours at most.
	minPause, maxPause = 50 * time.Millisecond, time.Second
	// nftablesGroup is NFNLGRP_NFTABLES.
	nftablesGroup = 7
)

// watcher hears from the kernel what others change in nftables.
type watcher struct {
	guard   *Guard
	file    *os.File
	changed chan string // the program that changed our table; the latest stands for those before it
	done    chan struct{}
	wg      sync.WaitGroup

	logged  time.Time // for log
	skipped int
}

// startWatch begins to watch for all changes but those made through the guard's own socket. The
// kernel makes a notice of each element, for whoever listens: so it begins after all of them were
// put up.
func (g *Guard) startWatch() error {
	s, err := openSocket()
	if err != nil {
		return err
	}
	if err := s.subscribe(g.socket.port); err != nil {
		s.close()
		return fmt.Errorf("watching nftables: %w", remedy(err))
	}
	g.watch = &watcher{
		guard: g, file: os.NewFile(uintptr(s.fd), "nftables"),
		changed: make(chan string, 1), done: make(chan struct{}),
	}
	g.watch.wg.Go(g.watch.listen)
	g.watch.wg.Go(g.watch.mend)
	return nil
}

func (s *socket) subscribe(except uint32) error {
	// Sender's port: 12 octets into the first message. A datagram holds those of one change.
	prog, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 12, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(native(except)), SkipTrue: 1},
		bpf.RetConstant{Val: 1 << 18},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(prog))
	for i, p := range prog {
		filter[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	if err := unix.SetsockoptSockFprog(s.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}); err != nil {
		return err
	}
	return unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, nftablesGroup)
}

// listen reads notices until the socket is closed.
func (w *watcher) listen() {
	ours, buf := false, make([]byte, 64<<10)
	names := tableNames(w.guard.cfg.Device)
	for {
		n, err := w.file.Read(buf)
		if errors.Is(err, unix.ENOBUFS) { // nobody knows what was missed
			ours = true
			w.tell("")
			continue
		}
		if err != nil {
			return
		}
		messages, _ := syscall.ParseNetlinkMessage(buf[:n])
		for _, m := range messages {
			name, program := parseNotice(m.Header.Type, m.Data)
			ours = ours || slices.Contains(names[:], name)
			if m.Header.Type == subsystem|unix.NFT_MSG_NEWGEN && ours { // the end of the change
				ours = false
				w.tell(program)
			}
		}
	}
}

// tell has the table mended.
func (w *watcher) tell(program string) {
	select {
	case <-w.changed:
	default:
	}
	select {
	case w.changed <- program:
	default:
	}
}

// mend puts the table back when it was changed, and looks at it from time to time.
func (w *watcher) mend() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-w.done:
			return
		case program := <-w.changed:
			start := time.Now()
			w.guard.repair(program)
			if !w.pause(min(max(time.Since(start), minPause), maxPause)) {
				return
			}
		case <-tick.C:
			w.guard.inspect()
		}
	}
}

// pause waits; false: close was called meanwhile.
func (w *watcher) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-w.done:
		return false
	}
}

func (w *watcher) close() {
	close(w.done)
	w.file.Close()
	w.wg.Wait()
}

// repair puts the table back after program, "" for an unknown one, changed it.
func (g *Guard) repair(program string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.socket == nil {
		return
	}
	if err := g.replace(); err != nil {
		g.cfg.Log.Error("guard: it was changed and could not be put back, it is tried again", "event", "guard-broken", "table", g.table, "error", err)
		time.AfterFunc(maxPause, func() { g.watch.tell(program) })
		return
	}
	g.counted.Repairs++
	g.watch.log(program)
}

// log tells of a repair, and of how many there were since the last line.
func (w *watcher) log(program string) {
	if time.Since(w.logged) < logEvery {
		w.skipped++
		return
	}
	by := "another program"
	if program != "" {
		by = program
	}
	w.guard.cfg.Log.Warn("guard: somebody changed its table, it was put back", "event", "guard-repaired",
		"table", w.guard.table, "by", by, "since_last_line", w.skipped+1)
	w.logged, w.skipped = time.Now(), 0
}

// inspect looks whether the table is as it was left, and puts it back if not.
func (g *Guard) inspect() {
	g.mu.Lock()
	if g.socket == nil {
		g.mu.Unlock()
		return
	}
	same, err := g.check()
	g.readCounters()
	broken := g.broken
	g.mu.Unlock()
	if err == nil && (!same || broken) {
		g.repair("")
	}
}
