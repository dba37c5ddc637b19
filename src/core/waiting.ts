/**
 * How much of a body may wait to be written, on either side, before no more of it is read: twice what is
 * read at once. With less, every piece would stop the reader and start it again, though the kernel had
 * taken all of it.
 */
export const WAITING_BYTES = 131_072
