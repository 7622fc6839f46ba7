package netio

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// eventfds returns n descriptors that are readable after a write.
func eventfds(t testing.TB, n int) []int {
	t.Helper()
	fds := make([]int, n)
	for i := range fds {
		fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		fds[i] = fd
		t.Cleanup(func() { unix.Close(fd) })
	}
	return fds
}

func set(t testing.TB, fd int) {
	t.Helper()
	if _, err := unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
}

// TestPoller: exactly the readable descriptors are reported, each time until they are read.
func TestPoller(t *testing.T) {
	fds := eventfds(t, 5)
	var p Poller
	if err := p.Open(fds); err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	want := func(places ...int) {
		t.Helper()
		got, err := p.Look()
		if got = slices.Sorted(slices.Values(got)); err != nil || !slices.Equal(got, places) {
			t.Errorf("%v, %v, want %v", got, err, places)
		}
	}
	want()
	set(t, fds[0])
	set(t, fds[3])
	want(0, 3)
	want(0, 3)
	if got, err := p.Wait(); err != nil || len(got) != 2 {
		t.Errorf("Wait: %v, %v", got, err)
	}
	if _, err := unix.Read(fds[0], make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	want(3)
	if n := testing.AllocsPerRun(100, func() { _, _ = p.Look() }); n != 0 {
		t.Errorf("%v allocations for each look", n)
	}
	var bad Poller
	if err := bad.Open([]int{-1}); err == nil {
		t.Error("no error for a descriptor that is none")
	}
}

// BenchmarkLook measures an empty look at the descriptors of a worker: by epoll, by poll, and by
// reading each.
func BenchmarkLook(b *testing.B) {
	fds := eventfds(b, 6)
	b.Run("epoll", func(b *testing.B) {
		var p Poller
		if err := p.Open(fds); err != nil {
			b.Fatal(err)
		}
		defer p.Close()
		for b.Loop() {
			_, _ = p.Look()
		}
	})
	b.Run("poll", func(b *testing.B) {
		list := make([]unix.PollFd, len(fds))
		for i, fd := range fds {
			list[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
		}
		for b.Loop() {
			_, _ = unix.Poll(list, 0)
		}
	})
	b.Run("reading", func(b *testing.B) {
		buf := make([]byte, 8)
		for b.Loop() {
			for _, fd := range fds {
				_, _ = unix.Read(fd, buf)
			}
		}
	})
}
