/**
 * @module
 * The nearest word to one that was mistyped.
 */
import { distance } from 'fastest-levenshtein'

/** The nearest of the candidates, if one is near enough to be meant. */
export function near(word: string, candidates: readonly string[]): string | undefined {
  const most = Math.max(2, Math.floor(word.length / 3))
  const [best] = candidates
    .map((candidate) => ({ candidate, far: distance(word, candidate) }))
    .sort((a, b) => a.far - b.far)
  if (best && best.far <= Math.min(most, word.length - 1)) {
    return best.candidate
  }
  return word.length < 2 ? undefined : candidates.find((candidate) => candidate.startsWith(word))
}
