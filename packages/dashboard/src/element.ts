/**
 * Ink components are written with this function instead of JSX: Node runs `.ts` files by stripping their types, and JSX
 * would need a build step.
 */
export { createElement as h } from "react"
