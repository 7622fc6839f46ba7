package queue

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestDialogues plays what happens on an IKE SA. Each step is a call and, behind a colon, what it
// returns; behind a bar stands the queue after it, the current exchange first ("-" is none).
func TestDialogues(t *testing.T) {
	for name, steps := range map[string]string{
		"one after another": `
			idle: true                | -
			add child                 | - child
			idle: false               | - child
			add delete                | - child delete
			next: child true          | child delete
			next:  false              | child delete
			idle: false               | child delete
			busy: true                | child delete
			done child: true          | - delete
			next: delete true         | delete
			idle: false               | delete
			done delete: true         | -
			next:  false              | -
			idle: true                | -
			busy: false               | -`,
		"an urgent one comes first, but behind the current one": `
			add alive                 | - alive
			next: alive true          | alive
			add child delete          | alive child delete
			urgent move               | alive move child delete
			awaits move: true         | alive move child delete
			awaits alive: false       | alive move child delete
			done alive: true          | - move child delete
			next: move true           | move child delete
			awaits move: false        | move child delete
			urgent close              | move close child delete
			done move: true           | - close child delete
			next: close true          | close child delete`,
		"setup's exchanges follow one another": `
			replace init              | init
			add child                 | init child
			replace auth              | auth child
			done init: false          | auth child
			next:  false              | auth child
			done auth: true           | - child
			done auth: false          | - child
			next: child true          | child`,
		"an end that is reported late": `
			done alive: false         | -
			done : false              | -
			add alive                 | - alive
			done alive: false         | - alive
			next: alive true          | alive
			take: alive               | -
			done alive: false         | -`,
		"what waits passes to a successor": `
			add rekey child delete    | - rekey child delete
			next: rekey true          | rekey child delete
			rest: child delete        | rekey
			rest:                     | rekey
			done rekey: true          | -
			add close                 | - close
			rest: close               | -
			idle: true                | -`,
		"all are abandoned in order": `
			add a b c                 | - a b c
			take: a b c               | -
			idle: true                | -
			add a b c                 | - a b c
			next: a true              | a b c
			urgent d                  | a d b c
			take: a d b c             | -
			take:                     | -
			busy: false               | -`,
	} {
		q := new(Queue[string])
		for step := range strings.Lines(strings.TrimSpace(steps)) {
			call, want, _ := strings.Cut(step, "|")
			call, returned, _ := strings.Cut(call, ":")
			verb, arg, _ := strings.Cut(strings.TrimSpace(call), " ")
			if got := play(q, verb, arg); got != strings.TrimSpace(returned) {
				t.Errorf("%s: %s %s: got %q, want %q", name, verb, arg, got, strings.TrimSpace(returned))
			}
			if got := picture(q); got != strings.TrimSpace(want) {
				t.Fatalf("%s: after %s %s: got %q, want %q", name, verb, arg, got, strings.TrimSpace(want))
			}
		}
	}
}

// play carries out a step, and returns what the call returned.
func play(q *Queue[string], verb, arg string) string {
	boolean := map[bool]string{true: "true", false: "false"}
	switch verb {
	case "add":
		q.Add(strings.Fields(arg)...)
	case "urgent":
		q.AddUrgent(arg)
	case "replace":
		q.Replace(arg)
	case "next":
		x, ok := q.Next()
		return strings.TrimSpace(x + " " + boolean[ok])
	case "done":
		return boolean[q.Done(arg)]
	case "idle":
		return boolean[q.Idle()]
	case "busy":
		return boolean[q.Busy()]
	case "awaits":
		return boolean[q.Awaits(func(x string) bool { return x == arg })]
	case "rest":
		return strings.Join(q.TakeWaiting(), " ")
	case "take":
		return strings.Join(q.Take(), " ")
	default:
		panic("unknown step " + verb)
	}
	return ""
}

func picture(q *Queue[string]) string {
	current := q.Current()
	if current == "" {
		current = "-"
	}
	return strings.Join(append([]string{current}, q.waiting...), " ")
}

// TestAgainstHistory compares a queue with one that keeps every exchange for good, and finds out by
// looking through all of them what is current and what is next.
func TestAgainstHistory(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		q, h := new(Queue[int]), new(history)
		for step := range 200 {
			x := step + 1
			var got, want []int
			switch r.IntN(8) {
			case 0, 1:
				q.Add(x)
				h.put(x, step)
			case 2:
				q.AddUrgent(x)
				h.put(x, -step)
			case 3, 4:
				next, _ := q.Next()
				got, want = []int{next}, []int{h.next()}
			case 5:
				x = h.current() // zero: there is none
				if r.IntN(4) == 0 {
					x = r.IntN(step + 1)
				}
				got, want = []int{0}, []int{0}
				if h.current() != 0 && h.current() == x {
					h.end(x)
					want = []int{1}
				}
				if q.Done(x) {
					got = []int{1}
				}
			case 6:
				if r.IntN(4) == 0 {
					got, want = q.Take(), h.take(true)
				}
			case 7:
				if r.IntN(4) == 0 {
					got, want = q.TakeWaiting(), h.take(false)
				}
			}
			if !slices.Equal(got, want) || q.Current() != h.current() || q.Waiting() != len(h.waiting()) {
				t.Fatalf("seed %d, step %d: got %v, want %v; %d is current, want %d; %d wait, want %d",
					seed, step, got, want, q.Current(), h.current(), q.Waiting(), len(h.waiting()))
			}
		}
	}
}

// history is the slow queue: all exchanges that there were, each with its place and what became of
// it.
type history struct{ all []entry }

type entry struct {
	x, place int // the lowest place is next
	began    bool
	ended    bool
}

func (h *history) put(x, place int) { h.all = append(h.all, entry{x: x, place: place}) }

func (h *history) current() int {
	for _, e := range h.all {
		if e.began && !e.ended {
			return e.x
		}
	}
	return 0
}

func (h *history) waiting() []int {
	var list []entry
	for _, e := range h.all {
		if !e.began && !e.ended {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b entry) int { return a.place - b.place })
	var xs []int
	for _, e := range list {
		xs = append(xs, e.x)
	}
	return xs
}

func (h *history) next() int {
	waiting := h.waiting()
	if h.current() != 0 || len(waiting) == 0 {
		return 0
	}
	for i, e := range h.all {
		if e.x == waiting[0] {
			h.all[i].began = true
		}
	}
	return waiting[0]
}

func (h *history) end(x int) {
	for i, e := range h.all {
		if e.x == x {
			h.all[i].ended = true
		}
	}
}

func (h *history) take(current bool) []int {
	taken := h.waiting()
	if x := h.current(); current && x != 0 {
		taken = append([]int{x}, taken...)
	}
	for _, x := range taken {
		h.end(x)
	}
	return taken
}

// An exchange that has ended, and what it points to, can be collected.
func TestNothingIsKept(t *testing.T) {
	q := new(Queue[*int])
	q.Add(new(int), new(int))
	for range 2 {
		x, _ := q.Next()
		q.Done(x)
	}
	for _, x := range q.waiting[:cap(q.waiting)] {
		if x != nil {
			t.Error("an exchange that has ended is kept")
		}
	}
}
