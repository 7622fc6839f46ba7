//go:build unix

package dataplane

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sleeperOf returns an open sleeper for n descriptors, what it reported readable, and their far
// ends.
func sleeperOf(t *testing.T, n int) (s *sleeper, ready *[]int, ends []int) {
	t.Helper()
	s, ready = &sleeper{}, &[]int{}
	var fds []int
	for range n {
		p := make([]int, 2)
		if err := unix.Pipe(p); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			unix.Close(p[0])
			unix.Close(p[1])
		})
		fds, ends = append(fds, p[0]), append(ends, p[1])
	}
	if err := s.open(fds, func(i int) { *ready = append(*ready, i) }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s, ready, ends
}

// TestSleeper: a look tells readable descriptors, by their place, and calls; a sleep ends with the
// first of either; one call ends one of them.
func TestSleeper(t *testing.T) {
	s, ready, ends := sleeperOf(t, 3)
	want := func(name string, f func() (awakening, error), why awakening, places ...int) {
		t.Helper()
		*ready = (*ready)[:0]
		got, err := f()
		slices.Sort(*ready)
		if err != nil || got != why || !slices.Equal(*ready, places) {
			t.Errorf("%s: %v, %v ready, %v, want %v, %v", name, got, *ready, err, why, places)
		}
	}
	want("nothing to do", s.look, nothing)
	s.wake()
	s.wake()
	want("called twice", s.sleep, called)
	want("the calls are over", s.look, nothing)
	for _, i := range []int{2, 1} {
		if _, err := unix.Write(ends[i], []byte{0}); err != nil {
			t.Fatal(err)
		}
	}
	want("two to read", s.sleep, readable, 1, 2)
	s.wake()
	if _, err := unix.Write(ends[1], []byte{0}); err != nil {
		t.Fatal(err)
	}
	*ready = nil
	if why, err := s.look(); why != readable || err != nil || !slices.Contains(*ready, 1) || slices.Contains(*ready, 0) {
		t.Errorf("called, and one to read: %v, %v, %v", why, *ready, err)
	}
}

// TestSleeperPause: a pause ends by a call, or after its time.
func TestSleeperPause(t *testing.T) {
	s, _, _ := sleeperOf(t, 1)
	begun := time.Now()
	if err := s.pause(20 * time.Millisecond); err != nil || time.Since(begun) < 20*time.Millisecond {
		t.Errorf("paused for %v, %v", time.Since(begun), err)
	}
	s.wake()
	begun = time.Now()
	if err := s.pause(time.Minute); err != nil || time.Since(begun) > 30*time.Second {
		t.Errorf("called, it paused for %v, %v", time.Since(begun), err)
	}
}

// TestWakeBeforeAndAfter: a call before open and after close does nothing, and does not write to a
// descriptor that now belongs to somebody else.
func TestWakeBeforeAndAfter(t *testing.T) {
	var s sleeper
	s.wake()
	s.close()
	opened, _, _ := sleeperOf(t, 1)
	opened.close()
	var p [2]int
	if err := unix.Pipe(p[:]); err != nil { // takes the numbers that close gave back
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	if err := unix.SetNonblock(p[0], true); err != nil {
		t.Fatal(err)
	}
	opened.wake()
	if n, err := unix.Read(p[0], make([]byte, 8)); n > 0 {
		t.Errorf("a call after close wrote %d octets, %v", n, err)
	}
	opened.close()
}
