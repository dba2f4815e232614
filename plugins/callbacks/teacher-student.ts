/** Moves the teachers of a module whose method does not do so itself, after its optimizer steps. */
import { defineCallback, TeacherStudentCallback, z } from 'stable-pretraining'

export default defineCallback({
  name: 'teacher-student',
  aliases: ['TeacherStudentCallback'],
  targets: ['stable_pretraining.callbacks.TeacherStudentCallback'],
  description: 'Moves teachers towards their students after optimizer steps; a method with a teacher does so itself.',
  paper: 'Grill et al. 2020, arXiv:2006.07733',
  config: z.object({
    updateFrequency: z.int().min(1).default(1).describe('optimizer steps from one move to the next'),
    updateAfterBackward: z.boolean().optional().describe('accepted, without effect'),
    verbose: z.boolean().optional().describe('accepted, without effect'),
  }),
  build: ({ config: { updateFrequency } }) => new TeacherStudentCallback({ updateFrequency }),
})
