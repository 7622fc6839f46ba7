package runner

import "culvert/internal/interop"

// jobs returns what is to be run, and counts it. Cells that have passed with the present programs
// are done.
func (r *run) jobs() (jobs []job) {
	for _, p := range interop.Peers {
		var cells []interop.Cell
		for _, c := range p.Cells() {
			if r.settings.Only != nil && !r.settings.Only.MatchString(c.Name()) {
				continue
			}
			if old := r.records[c.Name()]; !r.settings.Again && old.Passed && old.Build == r.build {
				r.done[c.Name()] = true
				continue
			}
			cells = append(cells, c)
		}
		r.wanted += len(cells)
		jobs = append(jobs, split(p, cells)...)
	}
	return jobs
}

// split returns the jobs of a peer's cells: all in one boot of a guest; otherwise one of all single
// algorithms, which are one tunnel, and one of each other cell.
func split(p interop.Peer, cells []interop.Cell) (jobs []job) {
	together := job{peer: p}
	for _, c := range cells {
		if c.Algorithm != "" || p.Where == interop.Guest {
			together.cells = append(together.cells, c)
			continue
		}
		jobs = append(jobs, job{p, []interop.Cell{c}})
	}
	if len(together.cells) > 0 {
		jobs = append(jobs, together)
	}
	return jobs
}
