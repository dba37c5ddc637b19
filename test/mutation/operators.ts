/**
 * Small faults that somebody could have made: each is a piece of a source file and what stands in its
 * place. Words for people, types and imports are left alone.
 */
import ts from 'typescript'

export interface Mutant {
  readonly start: number
  readonly end: number
  readonly replacement: string
  /** 1-based. */
  readonly line: number
}

const SWAPPED: Partial<Record<ts.SyntaxKind, readonly string[]>> = {
  [ts.SyntaxKind.EqualsEqualsEqualsToken]: ['!=='],
  [ts.SyntaxKind.ExclamationEqualsEqualsToken]: ['==='],
  [ts.SyntaxKind.LessThanToken]: ['<=', '>='],
  [ts.SyntaxKind.GreaterThanToken]: ['>=', '<='],
  [ts.SyntaxKind.LessThanEqualsToken]: ['<', '>'],
  [ts.SyntaxKind.GreaterThanEqualsToken]: ['>', '<'],
  [ts.SyntaxKind.AmpersandAmpersandToken]: ['||'],
  [ts.SyntaxKind.BarBarToken]: ['&&'],
  [ts.SyntaxKind.PlusToken]: ['-'],
  [ts.SyntaxKind.MinusToken]: ['+'],
  [ts.SyntaxKind.AsteriskToken]: ['/'],
  [ts.SyntaxKind.SlashToken]: ['*'],
}
const RENAMED: Readonly<Record<string, string>> = {
  some: 'every',
  every: 'some',
  startsWith: 'endsWith',
  endsWith: 'startsWith',
  min: 'max',
  max: 'min',
}
/** Calls that change what they are called on; without them, it stays as it is. */
const DROPPED = new Set(['toLowerCase', 'trim', 'filter', 'slice', 'replace', 'replaceAll', 'sort'])

export function mutantsOf(source: ts.SourceFile): Mutant[] {
  const found: Mutant[] = []
  const put = (node: ts.Node, replacement: string): void => {
    const start = node.getStart(source)
    const line = source.getLineAndCharacterOfPosition(start).line + 1
    found.push({ start, end: node.getEnd(), replacement, line })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isTypeNode(node) || ts.isImportDeclaration(node) || ts.isInterfaceDeclaration(node))
      return
    if (ts.isTypeAliasDeclaration(node)) return
    mutate(node, put, source)
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

type Put = (node: ts.Node, replacement: string) => void

function mutate(node: ts.Node, put: Put, source: ts.SourceFile): void {
  if (ts.isBinaryExpression(node)) mutateBinary(node, put, source)
  else if (ts.isIfStatement(node)) decideAlways(node.expression, put)
  else if (ts.isConditionalExpression(node)) decideAlways(node.condition, put)
  else if (ts.isPrefixUnaryExpression(node) && node.operator === ts.SyntaxKind.ExclamationToken) {
    put(node, node.operand.getText(source))
  } else if (node.kind === ts.SyntaxKind.TrueKeyword) put(node, 'false')
  else if (node.kind === ts.SyntaxKind.FalseKeyword) put(node, 'true')
  else if (ts.isNumericLiteral(node)) put(node, String(Number(node.text.replaceAll('_', '')) + 1))
  else if (ts.isStringLiteral(node) && isMeaningful(node)) put(node, "'mutated'")
  else if (ts.isRegularExpressionLiteral(node)) mutateExpression(node, put)
  else if (ts.isCallExpression(node)) mutateCall(node, put, source)
  else if (ts.isExpressionStatement(node) && ts.isCallExpression(node.expression)) put(node, ';')
}

function decideAlways(condition: ts.Expression, put: Put): void {
  put(condition, 'true')
  put(condition, 'false')
}

function mutateBinary(node: ts.BinaryExpression, put: Put, source: ts.SourceFile): void {
  const { operatorToken: operator, left } = node
  for (const other of SWAPPED[operator.kind] ?? []) put(operator, other)
  if (operator.kind === ts.SyntaxKind.QuestionQuestionToken) put(node, left.getText(source))
}

/** A name, a reason, a separator: not a sentence, a property, or a default that only the types ask for. */
function isMeaningful(node: ts.StringLiteral): boolean {
  const { parent } = node
  if (node.text.includes(' ') || ts.isBindingElement(parent)) return false
  return !ts.isPropertyAssignment(parent) || parent.initializer === node
}

function mutateExpression(node: ts.RegularExpressionLiteral, put: Put): void {
  const { text } = node
  if (text.startsWith('/^')) put(node, `/${text.slice(2)}`)
  if (/\$\/[a-z]*$/.test(text)) put(node, text.replace(/\$(\/[a-z]*)$/, '$1'))
  if (/\/[a-z]*i[a-z]*$/.test(text)) put(node, text.replace(/i([a-z]*)$/, '$1'))
}

function mutateCall(node: ts.CallExpression, put: Put, source: ts.SourceFile): void {
  if (!ts.isPropertyAccessExpression(node.expression)) return
  const { name, expression } = node.expression
  const other = RENAMED[name.text]
  if (other !== undefined) put(name, other)
  if (DROPPED.has(name.text)) put(node, expression.getText(source))
}
