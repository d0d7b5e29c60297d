/**
 * @module
 * The builder that builds nothing: the manifest names an image.
 */
import { HeliosError } from '../lib/errors.ts'
import { checkDockerfile } from './gate.ts'
import type { Builder } from './types.ts'

/** Takes the image of the manifest, held to the rules for FROM. */
export const imageBuilder: Builder = {
  name: 'image',
  detect: () => undefined,
  plan(_, spec) {
    const image = spec.image ?? ''
    if (!/^[\w][\w.:/@-]*$/.test(image)) {
      throw new HeliosError('HX34', 'the builder image needs the name of an image', {
        hint: 'Set build.image in oal.yaml, as in registry.example.com/shop:1.',
      })
    }
    checkDockerfile(`FROM ${image}\n`, {})
    return { kind: 'image', image }
  },
}
