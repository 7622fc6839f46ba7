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

	"culvert/tun/cbpf"
)

const (
	// checkEvery is the time between two checks of the table that no notice asked for.
	checkEvery = time.Minute
	// logEvery is the least time between two log lines about repairs.
	logEvery = time.Minute
	// Limits of the pause after a repair. It lasts as long as the repair, so that a program that
	// keeps changing the table costs us half a processor at most.
	minPause, maxPause = 50 * time.Millisecond, time.Second
	// nftablesGroup is NFNLGRP_NFTABLES.
	nftablesGroup = 7
)

// A watcher receives the kernel's notices of other programs' changes in nftables.
type watcher struct {
	guard   *Guard
	file    *os.File
	changed chan string // the latest program that changed our table
	done    chan struct{}
	wg      sync.WaitGroup

	logged  time.Time // for log
	skipped int
}

// startWatch starts to watch for changes that do not come from the guard's own socket. It is called
// after the first commit, because the kernel makes a notice of each element while anybody listens.
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
	// The sender's port is at offset 12 of the first message. A datagram holds one change's
	// notices.
	err := cbpf.Attach(s.fd, unix.SO_ATTACH_FILTER, []bpf.Instruction{
		bpf.LoadAbsolute{Off: 12, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(native(except)), SkipTrue: 1},
		bpf.RetConstant{Val: 1 << 18},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
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
		if errors.Is(err, unix.ENOBUFS) { // notices were lost
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

// tell asks for a repair.
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

// mend restores the table after changes, and checks it from time to time.
func (w *watcher) mend() {
	tick := time.NewTicker(checkEvery)
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

// pause waits for d, and reports false if close was called meanwhile.
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

// repair restores the table after program changed it, "" for an unknown one.
func (g *Guard) repair(program string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.socket == nil {
		return
	}
	if err := g.replace(); err != nil {
		g.cfg.Log.Error("guard: cannot restore the changed table, will try again", "event", "guard-broken", "table", g.table, "error", err)
		time.AfterFunc(maxPause, func() { g.watch.tell(program) })
		return
	}
	g.counted.Repairs++
	g.watch.log(program)
}

// log logs a repair, with the number of repairs since the last line.
func (w *watcher) log(program string) {
	if time.Since(w.logged) < logEvery {
		w.skipped++
		return
	}
	by := "another program"
	if program != "" {
		by = program
	}
	w.guard.cfg.Log.Warn("guard: another program changed the table, restored it", "event", "guard-repaired",
		"table", w.guard.table, "by", by, "since_last_line", w.skipped+1)
	w.logged, w.skipped = time.Now(), 0
}

// inspect checks whether the table is as we left it, and restores it if not.
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
