package netio

// All ESP of an SPI comes to one worker, in order, by bits of the SPI that the SAD does not look it
// up by (sadMaxChunks): SPIs of one worker are then as many, and as easily found, as all SPIs.
//
// UDP_GRO joins datagrams of one 5-tuple, whatever their SPIs, and the first one's is what the
// socket is chosen by. So all SAs that a peer sends on from one address and port must name the same
// worker: otherwise what two workers receive of one SA overtakes itself.
const (
	steerShift = 20
	steerSpace = 1 << (32 - steerShift)
)

// WorkerOf returns which of a number of workers receives the packets with an SPI.
func WorkerOf(spi uint32, workers int) int { return int(spi >> steerShift % uint32(workers)) }

// SPIFor returns spi, changed as little as needed for its packets to come to a worker. There are
// maxWorkers at most.
func SPIFor(spi uint32, worker, workers int) uint32 {
	top := int(spi>>steerShift) - WorkerOf(spi, workers) + worker
	if top >= steerSpace {
		top -= workers
	}
	return spi&(1<<steerShift-1) | uint32(top)<<steerShift
}
